package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// operateOn applies an operator's change to a schedule that exists, and returns the
// schedule as it is afterwards. change may set the fields of the copy that it gets.
func (c *Client) operateOn(ctx context.Context, name, actor, action string, change func(ScheduleState, *Schedule) (*ScheduleChange, error)) (after *Schedule, err error) {
	store, err := c.scheduler()
	if err != nil {
		return nil, err
	}
	_, err = c.operate(ctx, store, name, actor, action, func(state ScheduleState) (*ScheduleChange, error) {
		if state.Schedule == nil {
			return nil, fmt.Errorf("schedule %.120q: %w", name, ErrNoSchedule)
		}
		s := *state.Schedule
		after = &s
		return change(state, after)
	})
	if err != nil {
		return nil, err
	}
	c.revealSchedule(ctx, after)
	return after, nil
}

// lockedSchedulePatience is how long an operator's change waits for a tick that has
// locked the schedule.
const lockedSchedulePatience = 3 * time.Second

// operate applies an operator's change, with an entry in the audit log, and returns the
// tasks that it inserted. It waits for a tick that has locked the schedule.
func (c *Client) operate(ctx context.Context, store Scheduler, name, actor, action string, change func(ScheduleState) (*ScheduleChange, error)) ([]*Handle, error) {
	for giveUp := time.Now().Add(lockedSchedulePatience); ; {
		handles, err := c.changeSchedule(ctx, store, name, change)
		if !errors.Is(err, ErrLocked) || time.Now().After(giveUp) {
			c.availability.observe(err)
			if err == nil {
				c.ticker.soon()
			}
			if err == nil && actor != "" {
				c.auditDone(ctx, actor, action, "schedule "+name)
			}
			return handles, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(10*time.Millisecond + rand.N(20*time.Millisecond)):
		}
	}
}
