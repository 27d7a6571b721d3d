package storetest

import (
	"encoding/json"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

func (f *fixture) scheduler() queue.Scheduler {
	f.Helper()
	scheduler, ok := f.store.(queue.Scheduler)
	if !ok {
		f.Fatal("the store is no queue.Scheduler")
	}
	return scheduler
}

// change changes a schedule and returns the state from which it was decided.
func (f *fixture) change(name string, change func(queue.ScheduleState) *queue.ScheduleChange) (state queue.ScheduleState) {
	f.Helper()
	f.must(f.scheduler().ChangeSchedule(f.ctx, name, func(s queue.ScheduleState) (*queue.ScheduleChange, error) {
		state = s
		return change(s), nil
	}))
	return state
}

// put stores a schedule whose next time is some time from now.
func (f *fixture) put(name string, next time.Duration, changes ...func(*queue.Schedule)) *queue.Schedule {
	f.Helper()
	s := &queue.Schedule{
		Name: name, Task: taskName, Spec: "@every 1h", Zone: "UTC", Args: json.RawMessage(`{"a":"é"}`), Queue: "q", Backend: "default", Priority: -5,
		CatchUp: queue.CatchUpOne, Overlap: queue.OverlapAllow, Options: queue.ScheduleOptions{MaxAttempts: 3, Timeout: time.Minute},
	}
	f.change(name, func(state queue.ScheduleState) *queue.ScheduleChange {
		s.AnchoredAt, s.CreatedAt, s.ChangedAt = state.Now, state.Now, state.Now
		s.NextAt = state.Now.Add(next)
		for _, change := range changes {
			change(s)
		}
		return &queue.ScheduleChange{Schedule: s}
	})
	return s
}

// occurrence is a task of a schedule.
func occurrence(s *queue.Schedule, at time.Time) *queue.NewRow {
	return request(func(r *queue.NewRow) { r.Schedule, r.ScheduledFor, r.Queue = s.Name, at, s.Queue })
}

// enqueue makes an occurrence as a tick does.
func (f *fixture) enqueueOccurrence(name string, at func(queue.ScheduleState) time.Time) (row *queue.NewRow, state queue.ScheduleState) {
	f.Helper()
	state = f.change(name, func(state queue.ScheduleState) *queue.ScheduleChange {
		s := *state.Schedule
		row = occurrence(&s, at(state))
		if row.ScheduledFor.After(state.Now) {
			row.RunAfter = row.ScheduledFor
		}
		s.LastAt, s.LastTaskID = row.ScheduledFor, row.ID
		s.NextAt = row.ScheduledFor.Add(time.Hour)
		s.Made++
		return &queue.ScheduleChange{Schedule: &s, Rows: []*queue.NewRow{row}}
	})
	return row, state
}

func (f *fixture) schedule(name string) *queue.Schedule {
	f.Helper()
	all, err := f.scheduler().Schedules(f.ctx)
	f.must(err)
	for _, s := range all {
		if s.Name == name {
			return s
		}
	}
	return nil
}

func (f *fixture) occurrences(name string) []queue.Occurrence {
	f.Helper()
	list, err := f.scheduler().Occurrences(f.ctx, name, 1000)
	f.must(err)
	return list
}

func next(state queue.ScheduleState) time.Time { return state.Schedule.NextAt }
