package queue

import (
	"cmp"
	"fmt"
	"time"

	"github.com/google/uuid"
)

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
			Keep: c.retention(&options{keep: o.Keep}), OnFailed: o.OnFailed, LimitKey: o.LimitKey,
		},
		FreshID: true, WillDispatch: c.willDispatch(s.Backend, max(time.Until(runAfter), 0)),
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
