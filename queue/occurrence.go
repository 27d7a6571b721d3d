package queue

import (
	"cmp"
	"crypto/rand"
	"errors"
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

// occurrence returns the task of a schedule for a time.
func (c *Client) occurrence(s *Schedule, at, runAfter time.Time) (*NewRow, error) {
	row, err := c.knownOccurrence(s, at, runAfter)
	if err != nil && errors.Is(err, ErrInvalid) {
		row, err = c.unknownOccurrence(s, at, runAfter)
	}
	if err != nil {
		return nil, err
	}
	s.Options.apply(row, at)
	return row, c.checkRetained(row)
}

// knownOccurrence is occurrence for a task that this program knows.
func (c *Client) knownOccurrence(s *Schedule, at, runAfter time.Time) (*NewRow, error) {
	options := []Option{OnQueue(s.Queue), OnBackend(s.Backend), Priority(s.Priority)}
	if s.Options.MaxAttempts > 0 {
		options = append(options, MaxAttempts(s.Options.MaxAttempts))
	}
	if s.Options.Timeout > 0 {
		options = append(options, Timeout(s.Options.Timeout))
	}
	if !runAfter.IsZero() {
		options = append(options, RunAfter(runAfter))
	}
	row := &NewRow{Row: &Row{}}
	if err := c.newRow(row, Request{Task: s.Task, Args: s.Args, Options: options}, rand.Reader); err != nil {
		return nil, err
	}
	row.Schedule, row.ScheduledFor = s.Name, at
	return row, nil
}

// unknownOccurrence is occurrence for a task that this program does not know, or whose
// arguments or route it does not accept: another version may, and until then the row is
// visible. A schedule that stood still would not be.
func (c *Client) unknownOccurrence(s *Schedule, at, runAfter time.Time) (*NewRow, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("tick: %w", err)
	}
	return &NewRow{
		Row: &Row{
			ID: id, Task: s.Task, Queue: s.Queue, Backend: s.Backend, Priority: s.Priority, Args: s.Args,
			MaxAttempts: cmp.Or(s.Options.MaxAttempts, DefaultMaxAttempts), Timeout: s.Options.Timeout, RunAfter: runAfter,
			Schedule: s.Name, ScheduledFor: at,
		},
		FreshID: true, WillDispatch: c.willDispatch(s.Backend, max(time.Until(runAfter), 0)),
	}, nil
}
