package queue

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/queue/internal/cronspec"
)

// ScheduleRequest describes a schedule that is made or replaced at run time.
type ScheduleRequest struct {
	Name    string
	Task    string // registered
	Spec    string // as for [Every]
	Zone    string // empty: UTC
	Args    any    // as in [Request]
	CatchUp CatchUp
	Overlap Overlap
	Paused  bool
	Options []Option // of the task, as for Every
	// Keep keeps the pause of a schedule that exists, and, if that one has the same task,
	// its queue, backend, priority and options; a key that the task makes of its arguments
	// is made of the new ones. It excludes Paused and Options.
	Keep  bool
	Actor string // who does it, for the audit log; empty: it gets no entry
}

// Schedules returns all schedules by name.
func (c *Client) Schedules(ctx context.Context) (all []*Schedule, err error) {
	store, err := c.scheduler()
	if err != nil {
		return nil, err
	}
	if len(c.registry.schedules) > 0 {
		if err := c.syncSchedules(ctx); err != nil {
			return nil, err
		}
	}
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		all, err = store.Schedules(ctx)
		return err
	})
	c.availability.observeRead(err)
	for _, s := range all {
		c.revealSchedule(ctx, s)
	}
	return all, err
}

// Schedule returns the schedule of a name, or [ErrNoSchedule].
func (c *Client) Schedule(ctx context.Context, name string) (*Schedule, error) {
	all, err := c.Schedules(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(s *Schedule) bool { return s.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("schedule %.120q: %w", name, ErrNoSchedule)
	}
	return all[i], nil
}

// Occurrences returns the latest occurrences of a schedule, newest first: at least the
// last [OccurrencesKept] are remembered.
func (c *Client) Occurrences(ctx context.Context, name string, limit int) (list []Occurrence, err error) {
	store, err := c.scheduler()
	if err != nil {
		return nil, err
	}
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		list, err = store.Occurrences(ctx, name, limit)
		return err
	})
	c.availability.observeRead(err)
	return list, err
}

// PutSchedule makes a schedule, or replaces one that was made at run time, and reports
// whether it is new. An occurrence that was enqueued ahead is cancelled. Errors:
// [ErrInvalid], [ErrScheduleInCode], [ErrUnsupported] if the store is no [Scheduler],
// and the store's.
func (c *Client) PutSchedule(ctx context.Context, r ScheduleRequest) (s *Schedule, created bool, err error) {
	store, err := c.scheduler()
	if err != nil {
		return nil, false, err
	}
	want, err := c.requested(r)
	if err != nil {
		return nil, false, err
	}
	if r.Keep && (r.Paused || len(r.Options) > 0) {
		return nil, false, invalidf("Keep excludes Paused and Options: leave it out to set them anew")
	}
	if len(c.registry.schedules) > 0 {
		if err := c.syncSchedules(ctx); err != nil {
			return nil, false, err
		}
	}
	_, err = c.operate(ctx, store, r.Name, r.Actor, "put schedule", func(state ScheduleState) (*ScheduleChange, error) {
		made := *want
		s, created = &made, state.Schedule == nil
		old := state.Schedule
		if old != nil && old.InCode() {
			return nil, ErrScheduleInCode
		}
		if r.Paused {
			made.PausedAt, made.PausedBy = state.Now, r.Actor
			if old != nil && old.Paused() {
				made.PausedAt, made.PausedBy = old.PausedAt, old.PausedBy
			}
		}
		if r.Keep && old != nil {
			c.keep(ctx, old, &made)
		}
		if err := c.sealSchedule(ctx, &made); err != nil {
			return nil, err
		}
		return replaceSchedule(state, &made)
	})
	if err != nil {
		return nil, false, err
	}
	c.revealSchedule(ctx, s)
	return s, created, nil
}

// requested returns the schedule that a request describes.
func (c *Client) requested(r ScheduleRequest) (*Schedule, error) {
	s := &Schedule{
		Name: r.Name, Task: r.Task, Spec: r.Spec, Zone: cmp.Or(r.Zone, "UTC"),
		CatchUp: cmp.Or(r.CatchUp, CatchUpOne), Overlap: cmp.Or(r.Overlap, OverlapAllow),
	}
	if err := checkSchedule(s.Name, s.CatchUp, s.Overlap); err != nil {
		return nil, err
	}
	if _, err := cronspec.Parse(s.Spec, s.Zone, time.Time{}); err != nil {
		return nil, invalid(err)
	}
	args, err := encode("args", r.Args)
	if err != nil {
		return nil, err
	}
	s.Args = args
	return s, c.complete(s, r.Options)
}

// keep gives a schedule what its request does not say, from the one that it replaces.
func (c *Client) keep(ctx context.Context, old, s *Schedule) {
	opened := *old
	old = &opened
	c.revealSchedule(ctx, old)
	s.PausedAt, s.PausedBy = old.PausedAt, old.PausedBy
	if s.Kept = old.Task == s.Task; !s.Kept {
		return
	}
	// What the task made of the old arguments is not the schedule's own.
	ofTask, now := Schedule{Task: old.Task, Args: old.Args}, s.Options
	known := !bytes.Equal(old.Args, s.Args) && c.complete(&ofTask, nil) == nil
	was := &ofTask.Options
	s.Queue, s.Backend, s.Priority, s.Options = old.Queue, old.Backend, old.Priority, old.Options
	if o := &s.Options; known && o.UniqueKey == was.UniqueKey {
		o.UniqueKey, o.UniqueScope, o.UniqueFor = now.UniqueKey, now.UniqueScope, now.UniqueFor
	}
	if known && s.Options.LimitKey == was.LimitKey {
		s.Options.LimitKey = now.LimitKey
	}
}

// replaceSchedule returns the change that stores s in place of what there is. Its times
// go on if the spec is the same.
func replaceSchedule(state ScheduleState, s *Schedule) (*ScheduleChange, error) {
	s.CreatedAt, s.ChangedAt, s.AnchoredAt = state.Now, state.Now, state.Now.Truncate(time.Second)
	change := &ScheduleChange{Schedule: s}
	goesOn := false
	if old := state.Schedule; old != nil {
		s.CreatedAt, s.LastAt, s.LastTaskID, s.Made = old.CreatedAt, old.LastAt, old.LastTaskID, old.Made
		goesOn = old.Spec == s.Spec && old.Zone == s.Zone
		if goesOn {
			s.AnchoredAt, s.NextAt = old.AnchoredAt, old.NextAt
		}
	}
	change.takeBack(state)
	switch {
	case s.Paused():
		s.NextAt = time.Time{}
	case !goesOn || s.NextAt.IsZero():
		return change, s.start(state, change)
	}
	return change, nil
}

// takeBack cancels what was enqueued ahead, and makes its time the schedule's next one
// again.
func (change *ScheduleChange) takeBack(state ScheduleState) {
	s := change.Schedule
	for _, waiting := range state.Ahead {
		if !waiting.Waiting {
			continue
		}
		change.Cancel = append(change.Cancel, waiting)
		if s == nil {
			continue
		}
		s.Made--
		if !s.NextAt.IsZero() && waiting.ScheduledFor.Before(s.NextAt) {
			s.NextAt = waiting.ScheduledFor
		}
		if s.LastTaskID == waiting.TaskID {
			s.LastAt, s.LastTaskID = state.Last.ScheduledFor, state.Last.TaskID
		}
	}
}

// start sets the next time of a schedule to its first one from now on that has no
// occurrence.
func (s *Schedule) start(state ScheduleState, change *ScheduleChange) error {
	spec, err := s.parse()
	if err != nil {
		return err
	}
	after := state.Now
	for _, ahead := range state.Ahead {
		cancelled := slices.ContainsFunc(change.Cancel, func(o Occurrence) bool { return o.ScheduledFor.Equal(ahead.ScheduledFor) })
		if !cancelled && ahead.ScheduledFor.After(after) {
			after = ahead.ScheduledFor
		}
	}
	s.NextAt = spec.Next(after)
	return nil
}

// DeleteSchedule deletes a schedule and its history; its tasks stay, apart from one that
// was enqueued ahead. One of this program's code that is encrypted with a key which the
// program does not have is stored anew at once, as the code defines it: no start replaces
// it, since other programs may have the key. Errors: [ErrNoSchedule], [ErrScheduleInCode],
// [ErrUnsupported] if the store is no [Scheduler], and the store's.
func (c *Client) DeleteSchedule(ctx context.Context, name, actor string) error {
	inCode := false
	_, err := c.operateOn(ctx, name, actor, "delete schedule", func(state ScheduleState, s *Schedule) (*ScheduleChange, error) {
		if inCode = s.InCode(); !c.CanDeleteSchedule(s) {
			return nil, ErrScheduleInCode
		}
		change := new(ScheduleChange)
		change.takeBack(state)
		return change, nil
	})
	if err == nil && inCode {
		c.scheduleSync.again()
		err = c.syncSchedules(ctx)
	}
	return err
}

// CanDeleteSchedule reports whether [Client.DeleteSchedule] accepts a schedule: not one that
// the code of a program defines, unless it is this program and lacks the key of its own.
func (c *Client) CanDeleteSchedule(s *Schedule) bool {
	if !s.InCode() {
		return true
	}
	return c.check() == nil && s.Program == c.cfg.Program && c.registry.definesSchedule(s.Name) && c.lackingKey(s) != ""
}

// PauseSchedule stops a schedule until it is resumed, also across new versions of the
// program that defines it. What was enqueued ahead is cancelled. Errors:
// [ErrNoSchedule], [ErrUnsupported] if the store is no [Scheduler], and the store's.
func (c *Client) PauseSchedule(ctx context.Context, name, actor string) (*Schedule, error) {
	return c.operateOn(ctx, name, actor, "pause schedule", func(state ScheduleState, s *Schedule) (*ScheduleChange, error) {
		if s.Paused() {
			return nil, nil //nolint:nilnil // no change
		}
		s.PausedAt, s.PausedBy, s.ChangedAt = state.Now, actor, state.Now
		s.NextAt = time.Time{}
		change := &ScheduleChange{Schedule: s}
		change.takeBack(state)
		return change, nil
	})
}

// ResumeSchedule ends a pause. The schedule goes on with its next time: what it has
// missed meanwhile is not enqueued, whatever its [CatchUp]. Errors are those of
// [Client.PauseSchedule].
func (c *Client) ResumeSchedule(ctx context.Context, name, actor string) (*Schedule, error) {
	return c.operateOn(ctx, name, actor, "resume schedule", func(state ScheduleState, s *Schedule) (*ScheduleChange, error) {
		if !s.Paused() {
			return nil, nil //nolint:nilnil // no change
		}
		s.PausedAt, s.PausedBy, s.ChangedAt = time.Time{}, "", state.Now
		change := &ScheduleChange{Schedule: s}
		if s.Removed() {
			return change, nil
		}
		return change, s.start(state, change)
	})
}

// RunSchedule enqueues the task of a schedule now, also while it is paused or its last
// task has not ended: an occurrence besides those of its times, for the time of the
// call. If another row holds the key of the task ([Unique]), that row is returned, with
// [Handle].Existed. Errors are those of [Client.PauseSchedule].
func (c *Client) RunSchedule(ctx context.Context, name, actor string) (*Handle, error) {
	store, err := c.scheduler()
	if err != nil {
		return nil, err
	}
	handles, err := c.operate(ctx, store, name, actor, "run schedule", func(state ScheduleState) (*ScheduleChange, error) {
		if state.Schedule == nil {
			return nil, fmt.Errorf("schedule %.120q: %w", name, ErrNoSchedule)
		}
		s := *state.Schedule
		change := &ScheduleChange{Schedule: &s}
		return change, c.addOccurrence(change, state.Now, state.Now)
	})
	if err == nil && len(handles) == 0 {
		err = fmt.Errorf("schedule %s: %w: another occurrence was enqueued at the same time", name, ErrContended)
	}
	if err != nil {
		return nil, err
	}
	return handles[0], nil
}
