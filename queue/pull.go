package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// From says where a pull takes tasks from; empty fields take from all.
type From struct {
	Queues  []string
	Backend string
}

// promoteLimit is how many rows of a kind one look makes claimable.
const promoteLimit = 1000

// look promotes what time has made claimable, and says what is there.
func (e *Executor) look(ctx context.Context) (PromoteResult, error) {
	var p PromoteResult
	err := within(context.WithoutCancel(ctx), statementTimeout, func(ctx context.Context) (err error) {
		p, err = e.store.Promote(ctx, promoteLimit)
		return err
	})
	e.client.outage.observeRead(err) // with nothing to do it is one
	if err == nil {
		e.client.seen.note(p)
	}
	e.client.promoted(ctx, p)
	if p.Reclaimed > 0 || p.Failed > 0 {
		e.log.Warn("leases expired without a result; the workers may be gone", "ready_again", p.Reclaimed, "failed", p.Failed)
	}
	return p, err
}

// pull claims up to most tasks, as many as there is room for, and begins them;
// done is called with each run when it has ended, before its room is free, and
// with nil for a task that was given back because it waited for too long. It returns how many were claimed, and
// whether there may be more.
func (e *Executor) pull(ctx context.Context, from From, most int, done func(*Run)) (claimed int, more bool, err error) {
	r, err := e.reserveSome(most)
	if err != nil {
		return 0, false, err
	}
	ctx = context.WithoutCancel(ctx)
	since := time.Now()
	rows, err := e.claimNext(ctx, from, r)
	more = e.filled(r, len(rows))
	e.begin(ctx, rows, since, done)
	return len(rows), more, err
}

// claimNext claims what there is room for. Should the answer be lost, what was
// claimed is looked for and given back, in the background.
func (e *Executor) claimNext(ctx context.Context, from From, r room) ([]*Row, error) {
	fence, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	var rows []*Row
	sent := time.Now()
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		rows, err = e.store.ClaimNext(ctx, ClaimNextRequest{
			Tasks: e.client.registry.runnable, Queues: from.Queues, Backend: from.Backend,
			Limit: r.limit, Ahead: r.ahead, NotAhead: r.notAhead, Fence: fence, Worker: e.cfg.WorkerID, Lease: e.cfg.Lease,
		})
		return err
	})
	e.client.outage.observe(err)
	if effectUnknown(err) {
		lost := lostClaim{fence: fence, sent: sent}
		for _, row := range rows {
			lost.known = append(lost.known, row.Claim())
		}
		e.recoverLater(lost)
	}
	return rows, err
}

// ProcessOne claims the task that comes next and runs it; nil when none is due.
func (e *Executor) ProcessOne(ctx context.Context, from From) (*Run, error) {
	if err := e.checkPull(from); err != nil {
		return nil, err
	}
	_, lookErr := e.look(ctx) // which does not keep it from what can be claimed
	if err := e.reserve(); err != nil {
		return nil, err
	}
	defer e.unreserve(1)
	ctx = context.WithoutCancel(ctx)
	since := time.Now()
	rows, err := e.claimNext(ctx, from, room{limit: 1})
	if err != nil || len(rows) == 0 {
		e.returned(nil, unknownTime)
		return nil, cmp.Or(err, lookErr)
	}
	return e.run(ctx, rows[0], since), nil
}

// Process runs up to most tasks that are due, one after the other in the order
// of their claims, and returns their runs. It begins no further one once ctx has
// ended or the process stops. An error comes with the runs before it.
func (e *Executor) Process(ctx context.Context, most int, from From) ([]*Run, error) {
	runs := []*Run{}
	for len(runs) < most && ctx.Err() == nil {
		run, err := e.ProcessOne(ctx, from)
		if errors.Is(err, ErrShutdown) && len(runs) > 0 {
			return runs, nil
		}
		if err != nil {
			return runs, err
		}
		if run == nil {
			break
		}
		runs = append(runs, run)
	}
	return runs, nil
}
