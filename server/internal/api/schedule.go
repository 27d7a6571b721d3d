package api

import (
	"context"
	"strconv"
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
	Unreadable string        `json:"unreadable,omitempty"` // why Args are encrypted, and left out

	ScheduleOptions
}

// ScheduleOptions are the options of a schedule's tasks in answers, its own or those of its
// task; those that they do not have are left out. Durations are as Go writes them.
type ScheduleOptions struct {
	MaxAttempts    int    `json:"max_attempts,omitempty"`
	Timeout        string `json:"timeout,omitempty"`
	KeepSuccessful string `json:"keep_successful,omitempty"`
	KeepFailed     string `json:"keep_failed,omitempty"`
	ExpiresIn      string `json:"expires_in,omitempty"`
	UniqueKey      string `json:"unique_key,omitempty"`
	UniqueFor      string `json:"unique_for,omitempty"`
	OnFailed       string `json:"on_failed,omitempty"` // the task's name
	LimitKey       string `json:"limit_key,omitempty"`
}

func scheduleOptionsOf(o *queue.ScheduleOptions) ScheduleOptions {
	body := ScheduleOptions{MaxAttempts: o.MaxAttempts, UniqueKey: o.UniqueKey, LimitKey: o.LimitKey}
	if o.Timeout > 0 {
		body.Timeout = o.Timeout.String()
	}
	if o.Keep != nil {
		body.KeepSuccessful, body.KeepFailed = o.Keep.Successful.String(), o.Keep.Failed.String()
	}
	if o.ExpiresIn > 0 {
		body.ExpiresIn = o.ExpiresIn.String()
	}
	switch {
	case o.UniqueKey == "":
	case o.UniqueFor > 0:
		body.UniqueFor = o.UniqueFor.String()
	case o.UniqueScope == queue.UniqueKept:
		body.UniqueFor = "kept"
	default:
		body.UniqueFor = "unfinished"
	}
	if o.OnFailed != nil {
		body.OnFailed = o.OnFailed.Task
	}
	return body
}

// ScheduleOf returns a schedule as answers have it.
func ScheduleOf(s *queue.Schedule) Schedule {
	body := Schedule{
		Name: s.Name, Task: s.Task, Spec: s.Spec, Zone: s.Zone, Args: s.Args, Queue: s.Queue, Backend: s.Backend, Priority: s.Priority,
		CatchUp: s.CatchUp, Overlap: s.Overlap, Paused: s.Paused(), PausedAt: known(s.PausedAt), PausedBy: s.PausedBy,
		Program: s.Program, RemovedAt: known(s.RemovedAt), NextAt: known(s.NextAt), LastAt: known(s.LastAt), LastStatus: s.LastStatus,
		Unreadable: s.Unreadable, ScheduleOptions: scheduleOptionsOf(&s.Options),
	}
	if s.Unreadable != "" {
		body.Args = nil
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

// ScheduleOption is an option of a schedule's tasks in a list.
type ScheduleOption struct{ Name, Value string }

// List returns the options that the schedule's tasks have.
func (s *Schedule) List() (list []ScheduleOption) {
	return append([]ScheduleOption{
		{"queue_name", s.Queue}, {"priority", strconv.Itoa(s.Priority)}, {"backend_name", s.Backend},
	}, s.list()...)
}

func (o *ScheduleOptions) list() (list []ScheduleOption) {
	attempts := ""
	if o.MaxAttempts > 0 {
		attempts = strconv.Itoa(o.MaxAttempts)
	}
	for _, option := range []ScheduleOption{
		{"max_attempts", attempts}, {"timeout", o.Timeout}, {"keep_successful", o.KeepSuccessful}, {"keep_failed", o.KeepFailed},
		{"expires_in", o.ExpiresIn}, {"unique_key", o.UniqueKey}, {"unique_for", o.UniqueFor}, {"on_failed", o.OnFailed}, {"limit_key", o.LimitKey},
	} {
		if option.Value != "" {
			list = append(list, option)
		}
	}
	return list
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
		Warnings []string `json:"warnings,omitempty"` // of PUT, as of an enqueue
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
