package queue

import (
	"context"
	"errors"
	"time"
)

// From says which tasks a pull claims.
type From struct {
	Queues  []string // empty: of all queues
	Backend string   // empty: of all backends
}

// promoteLimit is how many rows of a kind one promotion makes claimable.
const promoteLimit = 1000

// promote makes due and expired rows claimable, and reports what there is to do.
func (e *Executor) promote(ctx context.Context) (PromoteResult, error) {
	e.client.applyLimits(ctx)
	var p PromoteResult
	err := within(context.WithoutCancel(ctx), statementTimeout, func(ctx context.Context) (err error) {
		p, err = e.store.Promote(ctx, promoteLimit)
		return err
	})
	e.client.availability.observeRead(err) // with nothing to do it only reads
	if err == nil {
		e.client.lastPromote.record(p)
		e.client.ticker.promoted(p.NextTick)
		e.limits.Store(p.Limits)
	}
	e.client.promoted(ctx, p)
	e.startGroupWork(p)
	if p.Gates || p.Unheld {
		e.startGateWork()
	}
	if p.Reclaimed > 0 || p.Failed > 0 {
		e.log.Warn("leases expired without a result; the workers may be gone", "ready_again", p.Reclaimed, "failed", p.Failed)
	}
	return p, err
}

// pull claims up to limit tasks, as many as can be reserved, and starts them. done
// is called with each run when it has ended, after its reservation was given up,
// and with nil for a task that was released because it waited too long for a slot.
// pull returns how many were claimed, and whether there may be more.
func (e *Executor) pull(ctx context.Context, from From, limit int, done func(*Run)) (claimed int, more bool, err error) {
	r, err := e.reserveBatch(limit)
	if err != nil {
		return 0, false, err
	}
	ctx = context.WithoutCancel(ctx)
	claimedAt := time.Now()
	rows, err := e.claimNext(ctx, from, r)
	more = e.releaseUnused(r, rows)
	e.start(ctx, rows, claimedAt, done)
	return len(rows), more, err
}

// ProcessOne claims the next due task, highest priority first, and runs it. It
// returns nil when none is due. Errors: [ErrInvalid] for a backend that the client
// does not have, [ErrBusy], [ErrShutdown], and those of [Store]. Like RunByID, the
// run continues when ctx ends.
func (e *Executor) ProcessOne(ctx context.Context, from From) (*Run, error) {
	if err := e.checkPull(from); err != nil {
		return nil, err
	}
	ended, _ := e.client.groups.due()
	_, promoteErr := e.promote(ctx) // other rows can be claimed all the same
	run, err := e.processNext(ctx, from)
	if run == nil && err == nil && e.groupWork(ctx, &ended) {
		run, err = e.processNext(ctx, from)
	}
	if run == nil && err == nil {
		err = promoteErr
	}
	return run, err
}

// processNext claims the next due task and runs it; nil if none is due.
func (e *Executor) processNext(ctx context.Context, from From) (*Run, error) {
	if err := e.reserve(); err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx)
	since := time.Now()
	rows, err := e.claimNext(ctx, from, reservation{limit: 1})
	if err != nil || len(rows) == 0 {
		e.unreserveSlot()
		return nil, err
	}
	return e.runNow(ctx, rows[0], since), nil
}

// Process runs up to limit tasks that are due, one after the other in the order of
// their claims, and returns their runs. It starts no further one once ctx has ended
// or the process is stopping. Errors are those of [Executor.ProcessOne], returned
// with the runs before them.
func (e *Executor) Process(ctx context.Context, limit int, from From) ([]*Run, error) {
	runs := []*Run{}
	for len(runs) < limit && ctx.Err() == nil {
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
