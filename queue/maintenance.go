package queue

import (
	"cmp"
	"context"
	"errors"
	"math"
	"time"

	"github.com/google/uuid"
)

// Cancel makes a task CANCELLED unless it has ended, and reports whether it did. The
// context of a running function is cancelled at its next heartbeat, and its return
// value is not stored. Errors: [ErrNotFound]; [ErrLocked], with the row as it was,
// when another transaction has locked it and nothing was changed.
func (c *Client) Cancel(ctx context.Context, id uuid.UUID) (row *Row, cancelled bool, err error) {
	if err := c.check(); err != nil {
		return nil, false, err
	}
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		row, cancelled, err = c.cfg.Store.Cancel(ctx, id)
		return err
	})
	c.availability.observe(err)
	c.reveal(ctx, row)
	if cancelled {
		c.admitNext(ctx, row) // it may have been RUNNING, or about to
		c.memberEnded(ctx, row)
	}
	return row, cancelled, err
}

// Stats counts tasks by state. [ErrUnsupported] if the store is no [Operator].
func (c *Client) Stats(ctx context.Context, f Filter) (Stats, error) {
	store, err := c.Operator()
	if err != nil {
		return Stats{}, err
	}
	var stats Stats
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		stats, err = store.Stats(ctx, f)
		return err
	})
	c.availability.observeRead(err)
	return stats, err
}

// PendingCount returns how many tasks are READY and due. [ErrUnsupported] if the
// store is no [Operator].
func (c *Client) PendingCount(ctx context.Context, f Filter) (int, error) {
	stats, err := c.Stats(ctx, f)
	return stats.Pending, err
}

// DefaultBatch is how many rows Purge and Requeue handle in one transaction by
// default.
const DefaultBatch = 1000

// Purge deletes final rows in batches of r.Limit, from r.After on, until none is left, or
// until ctx ends: then more is true. A batch under way is cancelled when ctx is cancelled, and
// completed when its deadline expires. progress, which may be nil, receives the count
// so far after each batch. While tasks run, Purge pauses after each batch for twice
// as long as that took. Errors: [ErrInvalid], [ErrUnsupported] if the store is no
// [Operator], and the store's, with the count until then.
func (c *Client) Purge(ctx context.Context, r PurgeRequest, progress func(deleted int)) (deleted int, more bool, err error) {
	store, err := c.Operator()
	if err := cmp.Or(err, r.check()); err != nil {
		return 0, false, err
	}
	if r.Limit == 0 {
		r.Limit = DefaultBatch
	}
	_ = c.countFigures(ctx) // else the store counts what it deletes
	most := cmp.Or(r.Window, PurgeWindow)
	r.Window = min(2*r.Limit, most) // as many as must be read, usually
	for batches := 1; ; batches++ {
		if ctx.Err() != nil {
			return deleted, true, nil //nolint:nilerr // more reports it
		}
		began := time.Now()
		batch, err := c.purgeBatch(ctx, store, r)
		deleted += batch.Deleted
		if err != nil && errors.Is(ctx.Err(), context.Canceled) {
			return deleted, true, nil // the caller cancelled it
		}
		if err != nil {
			return deleted, true, err
		}
		if progress != nil {
			progress(deleted)
		}
		last := batch.Next.IsZero()
		if last || batches%countBatches == 0 {
			_ = c.countFinished(ctx, 0) // the sweeper does it if this fails
		}
		if last {
			return deleted, false, c.deleteGroups(ctx, r)
		}
		if r.After = batch.Next; batch.Deleted == 0 { // many rows are kept
			r.Window = min(2*r.Window, most)
		}
		c.yieldToTasks(ctx, store, 2*time.Since(began))
	}
}

// countBudget is the longest time that a sweep counts finished rows before it leaves
// the rest to the next one, and countBatches after how many batches a purge has what
// it deleted taken off the counts.
const (
	countBudget  = 2 * time.Second
	countBatches = 100
)

// countFinished has the store count finished rows for a time, and at least once.
func (c *Client) countFinished(ctx context.Context, budget time.Duration) error {
	counter, ok := c.cfg.Store.(Counter)
	if !ok {
		return nil
	}
	for began := time.Now(); ; {
		var more bool
		err := within(ctx, statementTimeout, func(ctx context.Context) (err error) {
			more, err = counter.CountFinished(ctx)
			return err
		})
		if err != nil || !more || time.Since(began) >= budget {
			return err
		}
	}
}

// check refuses a request that would select nothing, whatever is stored.
func (r PurgeRequest) check() error {
	if len(r.Final()) == 0 {
		return invalidf("PurgeRequest.Statuses must name at least one of %s, %s and %s, not %v", StatusSuccessful, StatusFailed, StatusCancelled, r.Statuses)
	}
	if r.Age < 0 || r.Limit < 0 || r.Window < 0 {
		return invalidf("PurgeRequest.Age, Limit and Window must not be negative")
	}
	return nil
}

// purgeBatch deletes one batch. It ignores the deadline of ctx, since it would not be
// known how much was deleted, but not its cancellation.
func (c *Client) purgeBatch(ctx context.Context, store Operator, r PurgeRequest) (result PurgeResult, err error) {
	batch, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			cancel()
		}
	})
	defer stop()
	err = within(batch, statementTimeout, func(ctx context.Context) (err error) {
		result, err = store.Purge(ctx, r)
		return err
	})
	c.availability.observe(err)
	return result, err
}

// yieldToTasks pauses if tasks are running, or until ctx ends.
func (c *Client) yieldToTasks(ctx context.Context, store Operator, pause time.Duration) {
	working := false
	err := within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		working, err = store.Working(ctx)
		return err
	})
	if err == nil && !working {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
}

// batchTimeout bounds one batch of an action on many rows.
const batchTimeout = time.Minute

// CountPurgeable returns how many rows Purge would delete now. Errors as for
// [Client.Purge].
func (c *Client) CountPurgeable(ctx context.Context, r PurgeRequest) (int, error) {
	store, err := c.Operator()
	if err := cmp.Or(err, r.check()); err != nil {
		return 0, err
	}
	var n int
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		n, err = store.CountPurgeable(ctx, r)
		return err
	})
	c.availability.observeRead(err)
	return n, err
}

// Requeue recovers RUNNING rows whose worker is gone, in batches of r.Limit, until
// none is left or ctx ends, and returns how many. The sweeper dispatches those that
// are READY again, or workers pull them. Errors as for [Client.Purge].
func (c *Client) Requeue(ctx context.Context, r RequeueRequest) (total RequeueResult, err error) {
	store, err := c.Operator()
	if err != nil {
		return total, err
	}
	switch {
	case r.DryRun:
		r.Limit = math.MaxInt32 // one count of all
	case r.Limit == 0:
		r.Limit = DefaultBatch
	}
	if r.OlderThan < 0 || r.MaxAttempts < 0 || r.MaxAttempts > MaxAttemptsLimit {
		return total, invalidf("older_than must not be negative, and max_attempts must be from 1 to %d", MaxAttemptsLimit)
	}
	for ctx.Err() == nil {
		var n RequeueResult
		err := within(ctx, statementTimeout, func(ctx context.Context) (err error) {
			n, err = store.Requeue(ctx, r)
			return err
		})
		c.availability.observe(err)
		total.Ready += n.Ready
		total.Failed += n.Failed
		if !r.DryRun && n.Failed > 0 {
			_, _ = c.completeDue(ctx) // the sweeper does it if this fails
		}
		if !r.DryRun && n.Ready+n.Failed > 0 && c.limiter() != nil {
			c.admitAll(context.WithoutCancel(ctx))
		}
		if err != nil && !errors.Is(err, ctx.Err()) {
			return total, err
		}
		if r.DryRun || n.Ready+n.Failed < r.Limit {
			break
		}
	}
	return total, nil
}
