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

// ideal is the yardstick of what the database can do for one process: the lean
// table, and one statement for whatever many callers want at the same time. It
// leaves out what a product needs beside: an error of one caller is everybody's.
func ideal() System {
	return System{Name: "ideal", Server: Postgres, Setup: onURL(setupLean), Open: func(ctx context.Context, t Target) (Session, error) {
		// Statements with arrays would else be planned anew for every call.
		pool, err := openPool(ctx, t.URL, map[string]string{"plan_cache_mode": "force_generic_plan"})
		if err != nil {
			return nil, err
		}
		s := &idealSession{bareSession: bareSession{lean{t.URL, pool}, t.Slots}}
		s.inserts = &merger[uuid.UUID, struct{}]{one: s.insertOne, many: s.insertMany}
		s.claims = &merger[claimOf, bool]{one: s.claimOne, many: s.claimMany}
		s.finishes = &merger[claimOf, bool]{one: s.finishOne, many: s.finishMany}
		return s, nil
	}}
}

type idealSession struct {
	bareSession
	inserts          *merger[uuid.UUID, struct{}]
	claims, finishes *merger[claimOf, bool]
}

// claimOf is a task and the claim on it.
type claimOf struct{ id, claim pgtype.UUID }

// Enqueue stores one task, together with those of other callers.
func (s *idealSession) Enqueue(ctx context.Context) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	_, err = s.inserts.do(ctx, id)
	return err
}

func (s *idealSession) insertOne(ctx context.Context, id uuid.UUID) (struct{}, error) {
	_, err := s.pool.Exec(ctx, leanInsert, pgID(id), taskName, sampleJSON)
	return struct{}{}, err
}

func (s *idealSession) insertMany(ctx context.Context, tasks []uuid.UUID) ([]struct{}, error) {
	ids, names, args := make([]pgtype.UUID, len(tasks)), make([]string, len(tasks)), make([]string, len(tasks))
	for i, id := range tasks {
		ids[i], names[i], args[i] = pgID(id), taskName, string(sampleJSON)
	}
	_, err := s.pool.Exec(ctx, leanInsertMany, ids, names, args)
	return make([]struct{}, len(tasks)), err
}

// EnqueueBatch stores n tasks in one statement.
func (s *idealSession) EnqueueBatch(ctx context.Context, n int) error { return s.insertBatch(ctx, n) }

// Drain claims and finishes in batches: two at a time, so that the database has
// work while the client turns round.
func (s *idealSession) Drain(ctx context.Context, n int, claimed func(time.Duration)) error {
	const lanes, batch = 2, 500
	var left atomic.Int64
	left.Store(int64(n))
	group, ctx := errgroup.WithContext(ctx)
	for range lanes {
		group.Go(func() error {
			for {
				most := min(batch, batch+left.Add(-batch))
				if most <= 0 {
					return nil
				}
				if err := s.lane(ctx, int(most), claimed); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// lane runs one batch of exactly most tasks.
func (s *idealSession) lane(ctx context.Context, most int, claimed func(time.Duration)) error {
	claim := pgID(uuid.New())
	began := time.Now()
	ids, err := s.claimBatch(ctx, claim, most)
	if err != nil {
		return err
	}
	timed(claimed, began)
	if len(ids) != most {
		return errors.New("a claim found fewer tasks than there are")
	}
	claims := make([]claimOf, len(ids))
	for i, id := range ids {
		claims[i] = claimOf{id, claim}
	}
	finished, err := s.finishMany(ctx, claims)
	for i, ok := range finished {
		if !ok {
			return errMissed("finish", ids[i].Bytes)
		}
	}
	return err
}

// Deliveries serves without verifying anything.
func (s *idealSession) Deliveries(ctx context.Context) (http.Handler, http.Header, []string, error) {
	ids, err := s.ids(ctx)
	return deliver(s.run), nil, ids, err
}

// run claims and finishes one task, together with those of other deliveries.
func (s *idealSession) run(ctx context.Context, id uuid.UUID) error {
	c := claimOf{pgID(id), pgID(uuid.New())}
	if ok, err := s.claims.do(ctx, c); err != nil || !ok {
		return errors.Join(err, errMissed("claim", id))
	}
	if ok, err := s.finishes.do(ctx, c); err != nil || !ok {
		return errors.Join(err, errMissed("finish", id))
	}
	return nil
}

func (s *idealSession) claimOne(ctx context.Context, c claimOf) (bool, error) {
	var args []byte
	err := s.pool.QueryRow(ctx, leanClaim, c.id, c.claim).Scan(&args)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

func (s *idealSession) finishOne(ctx context.Context, c claimOf) (bool, error) {
	tag, err := s.pool.Exec(ctx, leanFinish, c.id, c.claim)
	return err == nil && tag.RowsAffected() == 1, err
}

func (s *idealSession) claimMany(ctx context.Context, claims []claimOf) ([]bool, error) {
	var args []byte
	return s.change(ctx, leanClaimMany, claims, &args)
}

func (s *idealSession) finishMany(ctx context.Context, claims []claimOf) ([]bool, error) {
	return s.change(ctx, leanFinishMany, claims)
}

// change runs a statement on many rows, which returns their IDs and more, and
// says for each whether it was changed.
func (s *idealSession) change(ctx context.Context, sql string, claims []claimOf, more ...any) ([]bool, error) {
	ids, fences := make([]pgtype.UUID, len(claims)), make([]pgtype.UUID, len(claims))
	at := make(map[pgtype.UUID]int, len(claims))
	for i, c := range claims {
		ids[i], fences[i] = c.id, c.claim
		at[c.id] = i
	}
	rows, err := s.pool.Query(ctx, sql, ids, fences)
	if err != nil {
		return nil, err
	}
	changed := make([]bool, len(claims))
	var id pgtype.UUID
	_, err = pgx.ForEachRow(rows, append([]any{&id}, more...), func() error {
		changed[at[id]] = true
		return nil
	})
	return changed, err
}
