package queue

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Work on gates is to park READY rows of paused queues, and to make parked rows of queues
// that are no longer paused claimable again. The call that pauses or resumes a queue does
// it. What it leaves, because its process died or its time was over, and the rows that
// inserts, retries and reclaims add to a paused queue, is left to the process that promotes:
// [PromoteResult].Gates reports it, so that nothing polls for it.

// gateBatch is how many rows one transaction parks, or makes claimable again.
const gateBatch = 500

// gateSweep is how long one sweep works on gates.
const gateSweep = 20 * time.Second

// workGate works on one gate until nothing is left, ctx ends or its budget is used. What
// was done, and whether something is left, is added to result. An error of the store ends it and is
// logged: the work is continued by others.
func (c *Client) workGate(ctx context.Context, store Gatekeeper, g Gate, result *GateResult, progress func(rows int)) {
	for budget := c.gateBudget(ctx, g); ; {
		size := min(budget, gateBatch)
		if ctx.Err() != nil || size == 0 {
			result.More, result.Paced = true, size == 0
			return
		}
		n, err := c.gateStep(ctx, store, g, size, result)
		if err != nil {
			result.More = true
			if !errors.Is(err, ErrUnavailable) { // availability logs that
				c.cfg.Logger.Error("the rows of a queue that was paused or resumed could not all be changed; workers and the sweeper continue", "queue_name", g.Queue, "error", err)
			}
			return
		}
		if progress != nil {
			progress(result.Rows)
		}
		if budget -= n; n < size {
			return
		}
	}
}

// gateStep changes one batch of up to size rows. It is not cut short when ctx ends: it would not be
// known how many rows were changed.
func (c *Client) gateStep(ctx context.Context, store Gatekeeper, g Gate, size int, result *GateResult) (n int, err error) {
	ctx = context.WithoutCancel(ctx)
	var due []*Row
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		if g.Paused() {
			n, err = store.Park(ctx, g.Queue, size)
		} else {
			n, due, err = store.Unpark(ctx, g.Queue, size)
		}
		return err
	})
	c.availability.observe(err)
	result.Rows += n
	if err != nil || n == 0 || g.Paused() {
		return n, err
	}
	c.wakePullers(ctx)
	_ = c.dispatchBy(ctx, batched, due, c.ticket) // logged, recorded on the rows and left to the sweeper
	for _, row := range due {
		if row.DispatchError != "" {
			result.Undispatched++
		}
	}
	return n, nil
}

// workGates works on all gates, in turns so that one with many rows does not delay the
// others, until nothing is left, their budgets are used, ctx ends or stop is closed, which
// may be nil.
func (c *Client) workGates(ctx context.Context, stop <-chan struct{}) error {
	store, ok := c.cfg.Store.(Gatekeeper)
	if !ok {
		return nil
	}
	gates, err := c.Gates(ctx)
	budgets := make(map[string]int, len(gates))
	for _, g := range gates {
		budgets[g.Queue] = c.gateBudget(ctx, g)
	}
	for err == nil && len(gates) > 0 {
		gates = slices.DeleteFunc(gates, func(g Gate) bool {
			select {
			case <-stop:
				return true
			case <-ctx.Done():
				return true
			default:
			}
			size := min(budgets[g.Queue], gateBatch)
			if err != nil || size == 0 {
				return true
			}
			var n int
			n, err = c.gateStep(ctx, store, g, size, new(GateResult))
			budgets[g.Queue] -= n
			return n < size
		})
	}
	return err
}

// startGateWork works on gates in the background, unless this executor does so already:
// a million rows take a while, and claims of other queues must not wait for it. It ends
// with the executor; the next promotion anywhere continues what it leaves.
func (e *Executor) startGateWork() {
	if !e.gating.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer e.gating.Store(false)
		if err := e.client.holdLimited(context.Background(), e.stopping); err != nil && !errors.Is(err, ErrUnavailable) {
			e.log.Error("tasks could not all be made to wait for limits; the next promotion continues", "error", err)
		}
		if err := e.client.workGates(context.Background(), e.stopping); err != nil && !errors.Is(err, ErrUnavailable) {
			e.log.Error("the rows of paused and resumed queues could not all be changed; the next promotion continues", "error", err)
		}
	}()
}

// wakePullers wakes the workers that pull, in this process and in others, because rows of
// some backend have become claimable.
func (c *Client) wakePullers(ctx context.Context) {
	for _, backend := range c.backends {
		if local, ok := backend.Dispatcher.(*Local); ok {
			local.wakeAt(time.Time{})
		}
	}
	c.wake(ctx)
}
