package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
)

// operateOn applies an operator's change to a schedule that exists, and returns the
// schedule as it is afterwards. change may set the fields of the copy that it gets.
func (c *Client) operateOn(ctx context.Context, name, actor, action string, change func(ScheduleState, *Schedule) (*ScheduleChange, error)) (after *Schedule, err error) {
	store, err := c.scheduler()
	if err != nil {
		return nil, err
	}
	err = c.operate(ctx, store, name, actor, action, func(state ScheduleState) (*ScheduleChange, error) {
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
	return after, nil
}

// operate applies an operator's change, with an entry in the audit log.
func (c *Client) operate(ctx context.Context, store Scheduler, name, actor, action string, change func(ScheduleState) (*ScheduleChange, error)) error {
	return c.audited(ctx, actor, action, name, func() error {
		_, err := c.changeLocked(ctx, store, name, change)
		if err == nil {
			c.ticker.soon()
		}
		return err
	})
}

// lockedSchedulePatience is how long an operator's change waits for a tick that has
// locked the schedule.
const lockedSchedulePatience = 3 * time.Second

// changeLocked is changeSchedule that retries while the schedule is locked.
func (c *Client) changeLocked(ctx context.Context, store Scheduler, name string, change func(ScheduleState) (*ScheduleChange, error)) ([]*Handle, error) {
	for giveUp := time.Now().Add(lockedSchedulePatience); ; {
		handles, err := c.changeSchedule(ctx, store, name, change)
		if !errors.Is(err, ErrLocked) || time.Now().After(giveUp) {
			c.availability.observe(err)
			return handles, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(10*time.Millisecond + rand.N(20*time.Millisecond)):
		}
	}
}

// audited runs an action on a schedule, and stores it in the audit log if it succeeds
// and the store has one.
func (c *Client) audited(ctx context.Context, actor, action, name string, do func() error) error {
	if err := do(); err != nil || actor == "" {
		return err
	}
	err := c.RecordAudit(context.WithoutCancel(ctx), actor, action, uuid.Nil, "schedule "+name)
	if err != nil && !errors.Is(err, ErrUnsupported) {
		c.cfg.Logger.Warn("an action is missing in the audit log", "action", action, "schedule", name, "actor", actor, "error", err)
	}
	return nil
}
