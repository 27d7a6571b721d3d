package queuetest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// schedule is a stored schedule with its occurrences, by their times in microseconds.
type schedule struct {
	queue.Schedule
	occurrences map[int64]queue.Occurrence
}

// copied is a schedule for the caller, who may change it.
func (s *schedule) copied() *queue.Schedule {
	c := s.Schedule
	c.Args = slices.Clone(c.Args)
	return &c
}

// Schedules returns all schedules by name.
func (s *Store) Schedules(ctx context.Context) (all []*queue.Schedule, err error) {
	err = s.with(ctx, "read schedules", func(time.Time) error {
		for _, name := range slices.Sorted(maps.Keys(s.schedules)) {
			one := s.schedules[name].copied()
			if r := s.rows[one.LastTaskID]; r != nil {
				one.LastStatus = r.Status
			}
			all = append(all, one)
		}
		return nil
	})
	return all, err
}

// DueSchedules returns the schedules that are due, the earliest first.
func (s *Store) DueSchedules(ctx context.Context, ahead time.Duration, limit int) (names []string, next time.Duration, err error) {
	err = s.with(ctx, "find schedules that are due", func(now time.Time) error {
		var due []*schedule
		for _, one := range s.schedules {
			if !one.NextAt.IsZero() {
				due = append(due, one)
			}
		}
		slices.SortFunc(due, func(a, b *schedule) int { return cmp.Or(a.NextAt.Compare(b.NextAt), cmp.Compare(a.Name, b.Name)) })
		for _, one := range due {
			if len(names) == limit || one.NextAt.After(now.Add(ahead)) {
				next = max(one.NextAt.Sub(now), time.Microsecond)
				break
			}
			names = append(names, one.Name)
		}
		return nil
	})
	return names, next, err
}

// Occurrences returns the latest occurrences of a schedule, newest first.
func (s *Store) Occurrences(ctx context.Context, name string, limit int) (list []queue.Occurrence, err error) {
	err = s.with(ctx, "read occurrences", func(time.Time) error {
		one := s.schedules[name]
		if one == nil {
			return nil
		}
		for _, o := range slices.Backward(one.inOrder()) {
			if len(list) == limit {
				break
			}
			if r := s.rows[o.TaskID]; r != nil && o.Skipped == "" {
				o.Status, o.EnqueuedAt, o.StartedAt, o.FinishedAt, o.ErrorText = r.Status, r.EnqueuedAt, r.StartedAt, r.FinishedAt, r.ErrorText
			}
			list = append(list, o)
		}
		return nil
	})
	return list, err
}

// inOrder returns the occurrences, oldest first.
func (s *schedule) inOrder() (list []queue.Occurrence) {
	for _, at := range slices.Sorted(maps.Keys(s.occurrences)) {
		list = append(list, s.occurrences[at])
	}
	return list
}

// ChangeSchedule changes a schedule, and nothing if it fails.
func (s *Store) ChangeSchedule(ctx context.Context, name string, change func(queue.ScheduleState) (*queue.ScheduleChange, error)) error {
	return s.with(ctx, "change schedule", func(now time.Time) error {
		old := s.schedules[name]
		made, err := change(s.scheduleState(old, now))
		if err != nil || made == nil {
			return err
		}
		if made.Schedule == nil {
			for _, o := range made.Cancel {
				s.rows[o.TaskID].cancel(now)
			}
			delete(s.schedules, name)
			return nil
		}
		return s.changeSchedule(name, old, made, now)
	})
}

// scheduleState is what a change of a schedule is decided from.
func (s *Store) scheduleState(one *schedule, now time.Time) queue.ScheduleState {
	state := queue.ScheduleState{Now: now}
	if one == nil {
		return state
	}
	state.Schedule = one.copied()
	var last queue.Occurrence
	for _, o := range one.inOrder() {
		switch r := s.rows[o.TaskID]; {
		case o.TaskID != uuid.Nil && o.ScheduledFor.After(now):
			waiting := r != nil && r.Status == queue.StatusReady && r.Schedule == one.Name && r.ScheduledFor.Equal(o.ScheduledFor)
			state.Ahead = append(state.Ahead, queue.Occurrence{ScheduledFor: o.ScheduledFor, TaskID: o.TaskID, Waiting: waiting})
		case o.TaskID != uuid.Nil && o.Skipped == "":
			last = queue.Occurrence{ScheduledFor: o.ScheduledFor, TaskID: o.TaskID}
		}
		state.Unfinished = state.Unfinished || one.Overlap == queue.OverlapSkip && s.isUnfinished(o)
	}
	if len(state.Ahead) > 0 {
		state.Last = last
	}
	return state
}

// isUnfinished reports whether the schedule's own task of an occurrence is live.
func (s *Store) isUnfinished(o queue.Occurrence) bool {
	r := s.rows[o.TaskID]
	return r != nil && o.Skipped == "" && !r.Status.Final()
}

// changeSchedule stores what a change has made of a schedule. If a row cannot be inserted,
// it undoes what it has cancelled.
func (s *Store) changeSchedule(name string, old *schedule, made *queue.ScheduleChange, now time.Time) error {
	occurrences := make(map[int64]queue.Occurrence)
	if old != nil {
		occurrences = maps.Clone(old.occurrences)
	}
	before := make(map[*row]row)
	for _, o := range made.Cancel {
		r := s.rows[o.TaskID]
		before[r] = *r
		r.cancel(now)
		delete(occurrences, o.ScheduledFor.UnixMicro())
	}
	for _, o := range made.Skipped {
		if at := o.ScheduledFor.UnixMicro(); !exists(occurrences, at) {
			occurrences[at] = queue.Occurrence{ScheduledFor: o.ScheduledFor, TaskID: o.TaskID, Skipped: o.Skipped}
		}
	}
	var fresh []*queue.NewRow
	var wanted []queue.Occurrence // of fresh
	for _, r := range made.Rows {
		at := r.ScheduledFor.UnixMicro()
		if exists(occurrences, at) {
			*r.Row = queue.Row{}
			continue
		}
		o := queue.Occurrence{ScheduledFor: r.ScheduledFor.UTC().Truncate(time.Microsecond), TaskID: r.ID}
		occurrences[at], fresh, wanted = o, append(fresh, r), append(wanted, o)
	}
	if err := s.insert(context.Background(), fresh, now); err != nil {
		for r, was := range before {
			*r = was
		}
		return err
	}
	one := &schedule{*made.Schedule, occurrences}
	one.Args, one.Warnings, one.Kept, one.LastStatus = slices.Clone(one.Args), nil, false, ""
	one.withoutHeld(old, fresh, wanted)
	s.trim(one)
	s.schedules[name] = one
	return nil
}

func exists(occurrences map[int64]queue.Occurrence, at int64) bool {
	_, found := occurrences[at]
	return found
}

// withoutHeld takes from a schedule the occurrences that got another row, which holds
// their key: it has not enqueued them.
func (s *schedule) withoutHeld(old *schedule, fresh []*queue.NewRow, wanted []queue.Occurrence) {
	lastIsHeld := false
	for i, o := range wanted {
		if fresh[i].ID == o.TaskID {
			continue
		}
		s.Made--
		lastIsHeld = lastIsHeld || o.TaskID == s.LastTaskID
		s.occurrences[o.ScheduledFor.UnixMicro()] = queue.Occurrence{ScheduledFor: o.ScheduledFor, TaskID: fresh[i].ID, Skipped: queue.SkippedKey}
	}
	if !lastIsHeld {
		return
	}
	s.LastAt, s.LastTaskID = time.Time{}, uuid.Nil
	if old != nil {
		s.LastAt, s.LastTaskID = old.LastAt, old.LastTaskID
	}
	for i, o := range wanted {
		if fresh[i].ID == o.TaskID && !o.ScheduledFor.Before(s.LastAt) {
			s.LastAt, s.LastTaskID = o.ScheduledFor, o.TaskID
		}
	}
}

// trim removes all but the latest occurrences of a schedule, and those whose unfinished
// task still counts.
func (s *Store) trim(one *schedule) {
	list := one.inOrder()
	for _, o := range list[:max(0, len(list)-queue.OccurrencesKept-1)] {
		if one.Overlap != queue.OverlapSkip || !s.isUnfinished(o) {
			delete(one.occurrences, o.ScheduledFor.UnixMicro())
		}
	}
}
