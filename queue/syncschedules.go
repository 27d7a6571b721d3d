package queue

import (
	"context"
	"sync"
	"time"
)

// scheduleSync stores the schedules of the registry once in a process.
type scheduleSync struct {
	mu   sync.Mutex
	done bool
}

// StoreSchedules stores the schedules of the [Registry], unless this process has done
// so: those that are new or have another definition than the stored one. Those that the
// same program ([Config].Program) has stored before, and does not have any more, are
// marked as removed, and do not run. A pause by an operator stays. [Client.Tick] does
// the same first. Errors: [ErrUnsupported] if the store is no [Scheduler], and the store's.
func (c *Client) StoreSchedules(ctx context.Context) error {
	err := c.syncSchedules(ctx)
	c.availability.observe(err)
	return err
}

// syncSchedules stores the schedules of the registry, unless this process has done so:
// those that are new or have another definition. Those that this program has defined
// before, and does not any more, are marked as removed. A pause by an operator stays.
func (c *Client) syncSchedules(ctx context.Context) error {
	store, err := c.scheduler()
	if err != nil {
		return err
	}
	c.scheduleSync.mu.Lock()
	defer c.scheduleSync.mu.Unlock()
	if c.scheduleSync.done {
		return nil
	}
	var all []*Schedule
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		all, err = store.Schedules(ctx)
		return err
	})
	if err != nil {
		return err
	}
	known := make(map[string]*Schedule, len(all))
	for _, s := range all {
		known[s.Name] = s
	}
	defined := make(map[string]bool, len(c.registry.schedules))
	for _, p := range c.registry.schedules {
		want, err := c.stored(p)
		if err != nil {
			return err // not possible: Init has checked it
		}
		defined[p.name] = true
		if stored := known[p.name]; c.sameDefinition(want, stored) {
			c.warnLeft(want, stored)
			continue
		}
		if err := c.define(ctx, store, want); err != nil {
			return err
		}
	}
	for _, s := range all {
		if s.InCode() && s.Program == c.cfg.Program && !defined[s.Name] {
			if err := c.markRemoved(ctx, store, s.Name); err != nil {
				return err
			}
		}
		if !s.InCode() {
			if err := c.resealSchedule(ctx, store, s); err != nil {
				return err
			}
		}
	}
	c.scheduleSync.done = true
	if len(defined) > 0 {
		c.ticker.soon()
	}
	return nil
}

// sameDefinition reports whether the stored schedule is what the code defines, and is
// encrypted as it is to be. A program that lacks its key leaves it: programs that have the
// key may lack that of this one. Without any keys, it cannot compare what is encrypted.
func (c *Client) sameDefinition(want, stored *Schedule) bool {
	if stored == nil || !stored.InCode() || stored.Program != want.Program {
		return false
	}
	lacks := c.lackingKey(stored) != ""
	if lacks && len(c.keys) == 0 {
		return true
	}
	return stored.Definition == want.Definition && (lacks || keyOfSealed(stored.Args) == keyOfSealed(want.Args))
}

// warnLeft logs that a schedule stays as it is stored because this program lacks its key.
func (c *Client) warnLeft(want, stored *Schedule) {
	switch key := c.lackingKey(stored); {
	case key == "":
	case len(c.keys) == 0:
		c.cfg.Logger.Warn("a schedule of the code is stored encrypted and this program has no keys, so that it stays as it is stored, also if the code has changed; deleting it stores it anew, in plain text",
			"schedule", want.Name, "key_id", key, "spec", stored.Spec, "spec_in_code", want.Spec)
	default:
		c.cfg.Logger.Warn("a schedule of the code is encrypted with a key that this program does not have, so that it stays as it is stored; deleting it stores it anew, as this program encrypts it",
			"schedule", want.Name, "key_id", key)
	}
}

// lackingKey returns the key of a schedule that this program does not have; empty if it has
// the key, or if the schedule is not encrypted.
func (c *Client) lackingKey(stored *Schedule) string {
	if key := keyOfSealed(stored.Args); !HasKey(c.keys, &Row{KeyID: key}) {
		return key
	}
	return ""
}

// define stores what the code defines.
func (c *Client) define(ctx context.Context, store Scheduler, want *Schedule) error {
	changed := false
	var old *Schedule
	_, err := c.changeSchedule(ctx, store, want.Name, func(state ScheduleState) (*ScheduleChange, error) {
		if changed = !c.sameDefinition(want, state.Schedule); !changed {
			return nil, nil //nolint:nilnil // another process has stored it
		}
		s := *want
		if old = state.Schedule; old != nil {
			s.PausedAt, s.PausedBy = old.PausedAt, old.PausedBy
		}
		return replaceSchedule(state, &s)
	})
	if err == nil && changed {
		c.warnReplaced(old, want)
		c.cfg.Logger.Info("schedule stored", "schedule", want.Name, "task_path", want.Task, "spec", want.Spec, "zone", want.Zone)
	}
	return err
}

// warnReplaced logs that what the code defines has replaced a schedule that this program
// has not defined. It is not refused: the other program may have this one's old name.
func (c *Client) warnReplaced(old, by *Schedule) {
	switch {
	case old == nil || old.Program == by.Program:
	case old.Program == "":
		c.cfg.Logger.Warn("a schedule that was made at run time is replaced: the program's code has its name",
			"schedule", by.Name, "program", by.Program, "task_path", by.Task, "replaced_task_path", old.Task)
	case old.InCode():
		c.cfg.Logger.Warn("a schedule of another program is replaced; if that program still defines it, the two replace each other's at each start: give one of the schedules another name",
			"schedule", by.Name, "program", by.Program, "task_path", by.Task, "replaced_program", old.Program, "replaced_task_path", old.Task)
	}
}

// markRemoved stops a schedule that the code of this program no longer defines.
func (c *Client) markRemoved(ctx context.Context, store Scheduler, name string) error {
	_, err := c.changeSchedule(ctx, store, name, func(state ScheduleState) (*ScheduleChange, error) {
		old := state.Schedule
		if old == nil || !old.InCode() || old.Program != c.cfg.Program {
			return nil, nil //nolint:nilnil // it was changed meanwhile
		}
		s := *old
		s.RemovedAt, s.ChangedAt, s.NextAt = state.Now, state.Now, time.Time{}
		change := &ScheduleChange{Schedule: &s}
		change.takeBack(state)
		return change, nil
	})
	if err == nil {
		c.cfg.Logger.Warn("a schedule is in the program's code no more; it is kept, and not enqueued; if another program of the same name defines it, give one of the two another name",
			"schedule", name, "program", c.cfg.Program)
	}
	return err
}

// again makes the next call store the schedules once more.
func (s *scheduleSync) again() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = false
}

func (s *scheduleSync) isDone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done
}
