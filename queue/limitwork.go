package queue

import (
	"context"
	"errors"
	"time"
)

// Rows over a limit wait. What frees a slot lets the next one start: the end of a run, a
// cancellation, and the sweeper for all else. Where rows are dispatched, the next one gets
// a ticket; where they are pulled, the workers are woken.

// admitAfterRun is how many rows the end of one run lets start: one for its slot, and one
// for a slot that a process has left without doing so.
const admitAfterRun = 2

// admitBatch is how many rows the sweeper lets start at a time.
const admitBatch = 100

// limiter returns the client's store as a [Limiter]; nil if it is none.
func (c *Client) limiter() Limiter {
	store, _ := c.cfg.Store.(Limiter)
	return store
}

// admitNext lets rows start that wait for the limits of a row, because it runs no more, or
// may have just made room for them. Errors are logged: the sweeper does it later.
func (c *Client) admitNext(ctx context.Context, row *Row) {
	if c.limiter() == nil {
		return
	}
	ctx = context.WithoutCancel(ctx)
	if c.backends[row.Backend].Dispatcher == nil || c.sweptDispatcher(row.Backend) == nil {
		c.wakePullers(ctx)
		return
	}
	if _, err := c.admit(ctx, row.Backend, row, admitAfterRun); err != nil && !errors.Is(err, ErrUnavailable) {
		c.cfg.Logger.Error("tasks that wait for a limit could not be dispatched; the sweeper does it", "task_id", row.ID, "queue_name", row.Queue, "error", err)
	}
}

// admit dispatches up to limit rows of a backend that wait for limits and may start, and
// returns how many.
func (c *Client) admit(ctx context.Context, backend string, row *Row, limit int) (int, error) {
	var rows []*Row
	err := within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		rows, err = c.limiter().Admit(ctx, AdmitRequest{Backend: backend, Tasks: c.registry.names(), Keys: c.keys, Row: row, Limit: limit})
		return err
	})
	c.availability.observe(err)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	_ = c.dispatchBy(ctx, batched, rows, c.ticket) // logged, recorded on the rows and left to the sweeper
	return len(rows), nil
}

// sweepLimits is the sweeper's part: it lets rows start that wait although there is room,
// and keeps the records of the limits.
func (s *sweep) sweepLimits(ctx context.Context, backends []string) error {
	store := s.client.limiter()
	if store == nil {
		return nil
	}
	err := within(ctx, statementTimeout, store.TidyLimits)
	for _, name := range backends {
		if s.client.sweptDispatcher(name) == nil {
			continue
		}
		for n := admitBatch; n == admitBatch && err == nil && ctx.Err() == nil && s.left > 0; s.left -= n {
			n, err = s.client.admit(ctx, name, nil, admitBatch)
			s.result.Dispatched += n
		}
	}
	return err
}

// claimRows pulls rows for a reservation. Where limits are set, rows that they concern
// and others share the slots: by priority, and half to each kind of the same one. Rows
// that limits concern are not prefetched, and others not while they share with them.
func (e *Executor) claimRows(ctx context.Context, req ClaimNextRequest) ([]*Row, error) {
	store := e.client.limiter()
	if store == nil || !e.limits.Load() {
		return e.store.ClaimNext(ctx, req)
	}
	var rows []*Row
	free := req.Free()
	othersFirst := e.turn.Add(1)%2 == 1
	part := func(n byte, limit int, share bool) error {
		if limit < 1 {
			return nil
		}
		limited := req
		limited.Fence = partFence(req.Fence, n)
		limited.Limit, limited.Prefetch, limited.Share, limited.OthersFirst = limit, 0, share, othersFirst
		more, wait, err := store.ClaimLimited(ctx, limited)
		rows = append(rows, more...)
		e.wakeIn(wait)
		return err
	}
	if err := part(0, free, true); err != nil {
		return rows, err
	}
	first := len(rows)
	if first > 0 || free > 0 && !othersFirst {
		e.sharing.Store(first > 0)
	}
	rest := req
	rest.Fence = partFence(req.Fence, 1)
	if free > 0 && e.sharing.Load() {
		rest.Limit, rest.Prefetch = free, 0
	}
	if rest.Limit -= first; rest.Limit > 0 {
		more, err := e.store.ClaimNext(ctx, rest)
		if rows = append(rows, more...); err != nil {
			return rows, err
		}
	}
	return rows, part(2, free-len(rows), false)
}

// wakeIn wakes the workers of this process when a limit allows another start.
func (e *Executor) wakeIn(wait time.Duration) {
	if wait <= 0 {
		return
	}
	at := time.Now().Add(wait)
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.startAt.IsZero() && !e.startAt.After(at) {
		return
	}
	e.startAt = at
	time.AfterFunc(wait, func() {
		e.mu.Lock()
		if e.startAt.Equal(at) {
			e.startAt = time.Time{}
		}
		pullers := e.pullers
		e.mu.Unlock()
		for _, backend := range e.client.backends {
			if local, ok := backend.Dispatcher.(*Local); ok {
				local.wakeAt(time.Time{})
			}
		}
		for _, ch := range pullers {
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	})
}

// addPuller makes wakeIn put a value into ch, until the function it returns is called.
func (e *Executor) addPuller(ch chan struct{}) (remove func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pullers = append(e.pullers[:len(e.pullers):len(e.pullers)], ch)
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		var kept []chan struct{}
		for _, other := range e.pullers {
			if other != ch {
				kept = append(kept, other)
			}
		}
		e.pullers = kept
	}
}
