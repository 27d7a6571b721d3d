package queue

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Rows that a limit concerns are taken out of the claim index, where every claim of other
// rows would scan them. Each process that promotes does it, whichever queues it serves, and
// so does a change of a limit. Pulls of the rows themselves move the first ones, too.

// holdTime is for how long a change of a limit, and one sweep, move rows.
const holdTime = 5 * time.Second

// holdLimited moves rows until none is left, ctx ends or stop is closed, which may be nil.
// Rows whose tickets another system delivers are left to their deliveries: no worker pulls
// them, and a row that waits may get a second ticket.
func (c *Client) holdLimited(ctx context.Context, stop <-chan struct{}) error {
	store := c.limiter()
	var pulled []string
	for name := range c.backends {
		if c.sweptDispatcher(name) == nil {
			pulled = append(pulled, name)
		}
	}
	if store == nil || len(pulled) == 0 {
		return nil
	}
	slices.Sort(pulled)
	for {
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return nil
		default:
		}
		var n int
		err := within(context.WithoutCancel(ctx), statementTimeout, func(ctx context.Context) (err error) {
			n, err = store.HoldLimited(ctx, pulled, gateBatch)
			return err
		})
		c.availability.observe(err)
		if err != nil || n == 0 {
			return err
		}
	}
}

// holdBriefly is holdLimited for holdTime, after a change of a limit. Its errors are logged:
// promotions continue.
func (c *Client) holdBriefly(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, holdTime)
	defer cancel()
	if err := c.holdLimited(ctx, nil); err != nil && !errors.Is(err, ErrUnavailable) {
		c.cfg.Logger.Error("tasks could not all be made to wait for limits; the next promotion continues", "error", err)
	}
}
