package queue

import (
	"cmp"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue/internal/cronspec"
)

// due returns the change that enqueues what is due of a schedule; nil if nothing is.
func (c *Client) due(state ScheduleState, ahead time.Duration) (*ScheduleChange, error) {
	s, now := state.Schedule, state.Now
	if s == nil || s.NextAt.IsZero() || s.NextAt.After(now.Add(ahead)) {
		return nil, nil //nolint:nilnil // no change
	}
	spec, err := s.parse()
	if err != nil {
		return nil, err
	}
	stored := *s
	change := &ScheduleChange{Schedule: &stored}
	if !s.NextAt.After(now) {
		if err := c.addDue(change, state, spec); err != nil {
			return nil, err
		}
	}
	for _, waiting := range state.Ahead {
		if !stored.NextAt.IsZero() && !stored.NextAt.After(waiting.ScheduledFor) {
			stored.NextAt = spec.Next(waiting.ScheduledFor)
		}
	}
	if at := stored.NextAt; at.After(now) && !at.After(now.Add(ahead)) && change.mayBeAhead(state, spec) {
		if err := c.addAhead(change, at, spec.Next(at)); err != nil {
			return nil, err
		}
	}
	if len(change.Rows)+len(change.Skipped) == 0 && stored.NextAt.Equal(s.NextAt) {
		return nil, nil //nolint:nilnil // no change
	}
	return change, nil
}

// addDue adds the occurrences of a schedule that are due now, up to tickBatch, to a
// change, and sets the time that follows.
func (c *Client) addDue(change *ScheduleChange, state ScheduleState, spec *cronspec.Spec) error {
	s, now := state.Schedule, state.Now
	times := spec.Latest(s.NextAt.Add(1), now, s.catchUpLimit())
	if len(times) < s.catchUpLimit() { // it counts even if the rules of its zone have changed since
		times = append([]time.Time{s.NextAt}, times...)
	}
	times, change.Skipped = s.policies(times, state)
	change.Schedule.NextAt = spec.Next(now)
	if len(times) > tickBatch {
		change.Schedule.NextAt, times = times[tickBatch], times[:tickBatch]
	}
	for _, at := range times {
		if err := c.addOccurrence(change, now, at); err != nil {
			return err
		}
	}
	return nil
}

// mayBeAhead reports whether an occurrence of the schedule may be enqueued ahead of its
// time, after the change.
func (change *ScheduleChange) mayBeAhead(state ScheduleState, spec *cronspec.Spec) bool {
	if spec.Frequent() || len(state.Ahead) > 0 {
		return false
	}
	return state.Schedule.Overlap != OverlapSkip || !state.Unfinished && len(change.Rows) == 0
}

func (s *Schedule) catchUpLimit() int {
	if s.CatchUp == CatchUpAll && s.Overlap != OverlapSkip {
		return CatchUpLimit
	}
	return 1
}

// policies returns the times that are to be enqueued of the latest ones that are due,
// and what is skipped.
func (s *Schedule) policies(times []time.Time, state ScheduleState) ([]time.Time, []Occurrence) {
	var skipped []Occurrence
	skip := func(at time.Time, why Skipped) {
		skipped = append(skipped, Occurrence{ScheduledFor: at, Skipped: why})
	}
	if first := times[0]; first.After(s.NextAt) {
		skip(s.NextAt, SkippedMissed)
	}
	last := times[len(times)-1]
	switch {
	case s.CatchUp == CatchUpSkip && state.Now.Sub(last) > MissedAfter:
		skip(last, SkippedMissed)
		return nil, skipped
	case s.Overlap == OverlapSkip && state.Unfinished:
		skip(last, SkippedOverlap)
		return nil, skipped
	}
	return times, skipped
}

// addOccurrence adds the task of an occurrence that is due at the database's time now to
// a change; or that it is skipped, if the task has expired already.
func (c *Client) addOccurrence(change *ScheduleChange, now, at time.Time) error {
	row, err := c.occurrence(change.Schedule, at, time.Time{})
	if err != nil {
		return err
	}
	if !row.ExpiresAt.IsZero() && !row.ExpiresAt.After(now) {
		change.skipExpired(at)
		return nil
	}
	change.add(row)
	return nil
}

// addAhead adds the task of the next occurrence to a change, ahead of its time, and sets
// the time that follows. It leaves out a task with a key: another row may hold it until
// then, and an enqueue in the meantime would meet a task that waits for its time.
func (c *Client) addAhead(change *ScheduleChange, at, next time.Time) error {
	row, err := c.occurrence(change.Schedule, at, at)
	if err != nil || row.UniqueKey != "" {
		return err
	}
	change.Schedule.NextAt = next
	change.add(row)
	return nil
}

// add adds the task of an occurrence.
func (change *ScheduleChange) add(row *NewRow) {
	s := change.Schedule
	change.Rows = append(change.Rows, row)
	s.Made++
	if !row.ScheduledFor.Before(s.LastAt) {
		s.LastAt, s.LastTaskID = row.ScheduledFor, row.ID
	}
}

// skipExpired records the latest of the occurrences that had expired at the first tick.
func (change *ScheduleChange) skipExpired(at time.Time) {
	expired := Occurrence{ScheduledFor: at, Skipped: SkippedExpired}
	if last := len(change.Skipped) - 1; last >= 0 && change.Skipped[last].Skipped == SkippedExpired {
		change.Skipped[last] = expired
		return
	}
	change.Skipped = append(change.Skipped, expired)
}

// occurrence returns the task of a schedule for a time. All of it is stored with the
// schedule, so that it does not depend on the program that ticks: it may be one that does
// not know the task, or another version. Arguments that do not fit the task any more fail
// visibly when it runs; a schedule that stood still would not be seen.
func (c *Client) occurrence(s *Schedule, at, runAfter time.Time) (*NewRow, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("tick: %w", err)
	}
	o := &s.Options
	row := &NewRow{
		Row: &Row{
			ID: id, Task: s.Task, Queue: s.Queue, Backend: s.Backend, Priority: s.Priority, Args: s.Args,
			MaxAttempts: cmp.Or(o.MaxAttempts, DefaultMaxAttempts), Timeout: o.Timeout,
			RunAfter: runAfter, Schedule: s.Name, ScheduledFor: at,
			Keep: c.retention(&options{keep: o.Keep}), OnFailed: c.withKey(o.OnFailed), LimitKey: o.LimitKey, KeyID: keyOfSealed(s.Args),
		},
		FreshID: true, WillDispatch: c.willDispatch(s.Backend, max(runAfter.Sub(c.now()), 0)),
		OnConflict: ReturnExisting, // otherwise the schedule would stand still
	}
	if o.UniqueKey != "" {
		row.UniqueKey, row.UniqueScope, row.UniqueFor = o.UniqueKey, o.UniqueScope, o.UniqueFor
	}
	if o.ExpiresIn > 0 {
		row.ExpiresAt = at.Add(o.ExpiresIn).UTC().Truncate(time.Microsecond)
	}
	return row, c.checkRetained(row)
}
