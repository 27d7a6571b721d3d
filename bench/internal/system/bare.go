package system

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"golang.org/x/sync/errgroup"
)

// bare is the yardstick of what a careful person writes in an afternoon: one
// statement for each step of each task, on the lean table.
func bare() System {
	return System{Name: "bare", Server: Postgres, Slow: true, Setup: onURL(setupLean), Open: func(ctx context.Context, t Target) (Session, error) {
		pool, err := openPool(ctx, t.URL, nil)
		return &bareSession{lean{t.URL, pool}, t.Slots}, err
	}}
}

type bareSession struct {
	lean
	slots int
}

// Enqueue stores one task.
func (b *bareSession) Enqueue(ctx context.Context) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	_, err = b.pool.Exec(ctx, leanInsert, pgID(id), taskName, sampleJSON)
	return err
}

// EnqueueBatch sends n statements in one round trip and one transaction.
func (b *bareSession) EnqueueBatch(ctx context.Context, n int) error {
	var batch pgx.Batch
	for range n {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		batch.Queue(leanInsert, pgID(id), taskName, sampleJSON)
	}
	return b.pool.SendBatch(ctx, &batch).Close()
}

// Drain claims, runs and finishes task by task in each slot.
func (b *bareSession) Drain(ctx context.Context, n int, claimed func(time.Duration)) error {
	var begun atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range b.slots {
		group.Go(func() error {
			for begun.Add(1) <= int64(n) {
				if err := b.next(ctx, claimed); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// next runs the task that comes next.
func (b *bareSession) next(ctx context.Context, claimed func(time.Duration)) error {
	claim := pgID(uuid.New())
	began := time.Now()
	var id pgtype.UUID
	if err := b.pool.QueryRow(ctx, leanClaimNext, claim).Scan(&id); err != nil {
		return err
	}
	timed(claimed, began)
	return b.finish(ctx, id, claim)
}

func (b *bareSession) finish(ctx context.Context, id, claim pgtype.UUID) error {
	tag, err := b.pool.Exec(ctx, leanFinish, id, claim)
	if err == nil && tag.RowsAffected() != 1 {
		err = errMissed("finish", id.Bytes)
	}
	return err
}

// Deliveries serves without verifying anything.
func (b *bareSession) Deliveries(ctx context.Context) (http.Handler, http.Header, []string, error) {
	ids, err := b.ids(ctx)
	return deliver(b.run), nil, ids, err
}

// run claims and finishes one task.
func (b *bareSession) run(ctx context.Context, id uuid.UUID) error {
	claim := pgID(uuid.New())
	var args []byte
	err := b.pool.QueryRow(ctx, leanClaim, pgID(id), claim).Scan(&args)
	if errors.Is(err, pgx.ErrNoRows) {
		err = errMissed("claim", id)
	}
	if err != nil {
		return err
	}
	return b.finish(ctx, pgID(id), claim)
}
