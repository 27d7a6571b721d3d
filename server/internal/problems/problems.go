// Package problems finds what does not resolve itself: the warnings of the overview, and
// what notices are about. It judges what was read of the database, and reads nothing.
package problems

import (
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Kind is a kind of problem.
type Kind string

// The kinds of problems.
const (
	Schema         Kind = "schema"           // the database schema is behind
	Sweeper        Kind = "sweeper"          // the sweeper has not run
	Stranded       Kind = "stranded"         // tasks should have been claimed or dispatched by now
	Lost           Kind = "lost_workers"     // leases have expired
	UnknownTask    Kind = "unknown_task"     // no program registers the name
	UnknownKey     Kind = "unknown_key"      // this program lacks the key of tasks
	Paused         Kind = "paused_queue"     // with tasks that are due
	Limit          Kind = "limit"            // reached, and nothing ends
	Backlog        Kind = "backlog"          // full
	LateSchedule   Kind = "late_schedule"    // nothing has enqueued its task
	FailedSchedule Kind = "failing_schedule" // its latest task is FAILED
	Unserved       Kind = "unserved_queue"   // no worker
	Failing        Kind = "failing"          // many failures of one kind
)

// Problem is one thing to look at, with its cause and a remedy.
type Problem struct {
	Kind    Kind
	Subject string // the queue, task, key or schedule; empty: there is one problem of the kind
	Count   int    // tasks concerned, as far as known
	Title   string
	Why     string
	Show    Page // where the tasks are
	Act     Page // the confirmation of an action
	ActName string
}

// Page is a page of the admin: a path below its prefix, and names and values of a query.
// Without a path there is none.
type Page struct {
	Path  string
	Query []string
}

func page(path string, pairs ...string) Page { return Page{path, pairs} }

// State is what was read. What is unknown is nil.
type State struct {
	Queues      []queue.QueueStats
	QueuesAt    time.Time // lateness is measured at the times at which the parts were read
	Gates       []queue.Gate
	Limits      []queue.LimitUse
	Schedules   []*queue.Schedule
	SchedulesAt time.Time
	Failures    []queue.FailureGroup
	Stranded    []*queue.Row // some of them
	Running     []*queue.Row // those whose leases end first
	RunningAt   time.Time
	Marks       map[string]time.Time
	MarksAt     time.Time
	SchemaErr   error
}

// Rules are what a program knows, and expects.
type Rules struct {
	Registered func(task string) bool
	Knows      func(*queue.Row) bool  // whether it has the key of a row
	MaxBacklog func(queue string) int // 0: none
	Dispatches bool                   // tasks are dispatched, and not only pulled by workers
	SweepEvery time.Duration          // 0: no sweeps are expected
	Sweeper    string                 // what to do about a sweeper that does not run
	Sample     int                    // how many rows were read at most
	Failing    int                    // how many of State.Failures of one kind are a problem; 0: none
}

// UnservedAfter is how long the oldest task of a queue waits until the queue counts as not
// served, if nothing runs there either.
const UnservedAfter = 5 * time.Minute

// Find returns the problems, the worst first.
func Find(s State, r Rules, now time.Time) (list []Problem) {
	f := finder{s, r, now}
	if s.SchemaErr != nil {
		list = append(list, Problem{Kind: Schema, Title: "The database schema is behind", Why: s.SchemaErr.Error()})
	}
	for _, part := range []func() []Problem{
		f.sweeper, f.stranded, f.expired, f.failing, f.unknownTasks, f.unknownKeys, f.pausedQueues, f.fullLimits, f.fullBacklogs, f.schedules, f.unserved,
	} {
		list = append(list, part()...)
	}
	return list
}

type finder struct {
	State
	Rules
	now time.Time
}
