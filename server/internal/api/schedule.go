package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Schedule is a schedule in answers.
type Schedule struct {
	Name       string        `json:"name"`
	Task       string        `json:"task_path"`
	Spec       string        `json:"spec"`
	Zone       string        `json:"zone"`
	Args       any           `json:"args"`
	Queue      string        `json:"queue_name"`
	Backend    string        `json:"backend_name"`
	Priority   int           `json:"priority"`
	CatchUp    queue.CatchUp `json:"catch_up"`
	Overlap    queue.Overlap `json:"overlap"`
	Paused     bool          `json:"paused"`
	PausedAt   *time.Time    `json:"paused_at,omitempty"`
	PausedBy   string        `json:"paused_by,omitempty"`
	Program    string        `json:"program,omitempty"`
	RemovedAt  *time.Time    `json:"removed_at,omitempty"`
	NextAt     *time.Time    `json:"next_at"`
	LastAt     *time.Time    `json:"last_at"`
	LastTaskID *uuid.UUID    `json:"last_task_id"`
	LastStatus queue.Status  `json:"last_status,omitempty"`
}

// ScheduleOf returns a schedule as answers have it.
func ScheduleOf(s *queue.Schedule) Schedule {
	body := Schedule{
		Name: s.Name, Task: s.Task, Spec: s.Spec, Zone: s.Zone, Args: s.Args, Queue: s.Queue, Backend: s.Backend, Priority: s.Priority,
		CatchUp: s.CatchUp, Overlap: s.Overlap, Paused: s.Paused(), PausedAt: known(s.PausedAt), PausedBy: s.PausedBy,
		Program: s.Program, RemovedAt: known(s.RemovedAt), NextAt: known(s.NextAt), LastAt: known(s.LastAt), LastStatus: s.LastStatus,
	}
	if s.LastTaskID != uuid.Nil {
		body.LastTaskID = &s.LastTaskID
	}
	return body
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Answers about schedules.
type (
	// Schedules lists all.
	Schedules struct {
		Schedules []Schedule `json:"schedules"`
	}
	// ScheduleAnswer has one.
	ScheduleAnswer struct {
		Schedule Schedule `json:"schedule"`
	}
	// ScheduleDetails has one with its next times, as they are while it is not paused,
	// and its latest occurrences, newest first.
	ScheduleDetails struct {
		Schedule    Schedule     `json:"schedule"`
		NextTimes   []time.Time  `json:"next_times"`
		Occurrences []Occurrence `json:"occurrences"`
	}
	// DeletedSchedule is the answer of DELETE.
	DeletedSchedule struct {
		Deleted bool `json:"deleted"`
	}
)

// Occurrence is one time of a schedule in answers.
type Occurrence struct {
	ScheduledFor time.Time     `json:"scheduled_for"`
	TaskID       *uuid.UUID    `json:"task_id"`
	Skipped      queue.Skipped `json:"skipped,omitempty"`
	Status       queue.Status  `json:"status,omitempty"`
	EnqueuedAt   *time.Time    `json:"enqueued_at,omitempty"`
	StartedAt    *time.Time    `json:"started_at,omitempty"`
	FinishedAt   *time.Time    `json:"finished_at,omitempty"`
	Error        string        `json:"error,omitempty"`
}

// SchedulesOf returns the answer that lists schedules.
func SchedulesOf(all []*queue.Schedule) Schedules {
	list := Schedules{Schedules: make([]Schedule, len(all))}
	for i, s := range all {
		list.Schedules[i] = ScheduleOf(s)
	}
	return list
}

// DescribeSchedule reads one schedule with some of its times.
func DescribeSchedule(ctx context.Context, client *queue.Client, name string, next, history int) (ScheduleDetails, error) {
	s, err := client.Schedule(ctx, name)
	if err != nil {
		return ScheduleDetails{}, err
	}
	occurrences, err := client.Occurrences(ctx, name, history)
	if err != nil {
		return ScheduleDetails{}, err
	}
	details := ScheduleDetails{Schedule: ScheduleOf(s), NextTimes: s.Times(time.Now(), next), Occurrences: make([]Occurrence, len(occurrences))}
	if details.NextTimes == nil {
		details.NextTimes = []time.Time{}
	}
	for i, o := range occurrences {
		details.Occurrences[i] = Occurrence{
			ScheduledFor: o.ScheduledFor, Skipped: o.Skipped, Status: o.Status, EnqueuedAt: known(o.EnqueuedAt),
			StartedAt: known(o.StartedAt), FinishedAt: known(o.FinishedAt), Error: o.ErrorText,
		}
		if o.TaskID != uuid.Nil {
			details.Occurrences[i].TaskID = &o.TaskID
		}
	}
	return details, nil
}

// ParseSchedule reads the body that describes a schedule. Its errors name the field and
// what it accepts.
func ParseSchedule(name string, body []byte) (queue.ScheduleRequest, error) {
	var (
		task, spec, zone, catchUp, overlap, queueName, backend *string
		paused                                                 *bool
		priority                                               *int
		args                                                   json.RawMessage
	)
	err := DecodeObject(body, map[string]any{
		"task": &task, "args": &args, "spec": &spec, "zone": &zone, "catch_up": &catchUp, "overlap": &overlap, "paused": &paused,
		"queue_name": &queueName, "priority": &priority, "backend_name": &backend,
	})
	r := queue.ScheduleRequest{Name: name, Zone: "UTC", CatchUp: queue.CatchUpOne, Overlap: queue.OverlapAllow}
	switch {
	case err != nil:
		return r, err
	case task == nil || *task == "":
		return r, BadRequest("task must be the name of a registered task")
	case spec == nil || *spec == "":
		return r, BadRequest(`spec must be a cron expression such as "0 9 * * 1-5", "@daily" or "@every 90s"`)
	}
	r.Task, r.Spec, r.Paused = *task, *spec, paused != nil && *paused
	if args != nil {
		r.Args = args
	}
	if zone != nil {
		r.Zone = *zone
	}
	if catchUp != nil {
		r.CatchUp = queue.CatchUp(*catchUp)
	}
	if overlap != nil {
		r.Overlap = queue.Overlap(*overlap)
	}
	if queueName != nil {
		r.Options = append(r.Options, queue.OnQueue(*queueName))
	}
	if backend != nil {
		r.Options = append(r.Options, queue.OnBackend(*backend))
	}
	if priority != nil {
		r.Options = append(r.Options, queue.Priority(*priority))
	}
	return r, nil
}
