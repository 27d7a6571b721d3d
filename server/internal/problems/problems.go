// Package problems finds what does not resolve itself: the warnings of the overview, and
// what notices are about. It judges what was read of the database, and reads nothing.
package problems

import (
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
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
	Task    string // name of the tasks that fail; empty for other kinds
	Count   int    // tasks concerned, as far as known
	Title   string
	Why     string // with texts of errors only if Rules.Errors is set
	Example string // the text of an error, which may have arguments in it; empty: none
	Show    Page   // where the tasks are
	Act     Page   // the confirmation of an action
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
	Printer    *lang.Printer // of the reader's language; nil: English
	Registered func(task string) bool
	Knows      func(*queue.Row) bool  // whether it has the key of a row
	MaxBacklog func(queue string) int // 0: none
	Dispatches bool                   // tasks are dispatched, and not only pulled by workers
	SweepEvery time.Duration          // 0: no sweeps are expected
	Sweeper    string                 // what to do about a sweeper that does not run
	Each       bool                   // a problem counts all of its tasks, also those that another one is about: for what reports when each begins and ends
	Errors     bool                   // include texts of errors, which may contain arguments: not for what leaves the program
	Recent     time.Duration          // within which failures are recent: those that FailureGroup.Recent counts
	Failing    int                    // how many recent failures of one kind are a problem; 0: none
	Failures   int                    // how many kinds of failures are problems at most; 0: any number
	Priority   func(task string) int  // weighs failures; nil: all are 0
}

// UnservedAfter is how long the oldest task of a queue waits until the queue counts as not
// served, if nothing runs there either.
const UnservedAfter = 5 * time.Minute

// Find returns the problems, the worst first.
func Find(s State, r Rules, now time.Time) (list []Problem) {
	f := finder{State: s, Rules: r, now: now}
	if f.Printer == nil {
		f.Printer = lang.English()
	}
	if s.SchemaErr != nil {
		list = append(list, Problem{Kind: Schema, Title: f.t("The database schema is outdated"), Why: f.t("%s", s.SchemaErr.Error())})
	}
	f.look()
	if r.Each {
		f.told = nil
	}
	for _, part := range []func() []Problem{
		f.sweeper, f.failing, f.unserved, f.stranded, f.expired, f.unknownTasks, f.unknownKeys, f.pausedQueues, f.fullLimits, f.fullBacklogs, f.schedules,
	} {
		list = append(list, part()...)
	}
	return list
}

// look finds which tasks and queues have a cause of their own, so that it is told once:
// tasks of a queue without a worker, or whose names or keys are unknown here, are not
// reported as stranded as well.
func (f *finder) look() {
	f.told, f.names, f.keys = make(map[string]bool), make(map[string]int), make(map[string]int)
	byQueue := make(map[string]int)
	for _, row := range f.Stranded {
		switch {
		case !f.Registered(row.Task):
			f.names[row.Task]++
		case !f.Knows(row):
			f.keys[row.KeyID]++
		default:
			continue
		}
		byQueue[row.Queue]++
	}
	for _, q := range f.Queues {
		// What has a cause of its own in a queue that nothing serves is all that is due there.
		if n := byQueue[q.Queue]; f.isUnserved(q) && (n == 0 || n < q.Pending) {
			f.told[q.Queue] = true
		}
	}
	for _, p := range f.fullLimits() {
		f.told[p.Subject] = true
	}
	all := 0
	for _, q := range f.Queues {
		all += q.Stranded
	}
	f.sampled = len(f.Stranded) < all
}

type finder struct {
	State
	Rules
	now     time.Time
	told    map[string]bool // queues whose tasks wait for a reason that is a problem of its own
	names   map[string]int  // of the stranded rows that were read, those whose names are unknown
	keys    map[string]int  // those whose keys are
	sampled bool            // not all stranded rows were read
}

// t formats a message in the reader's language.
func (f *finder) t(key string, args ...any) string { return f.Printer.T(key, args...) }

// span is a length of time.
func (f *finder) span(d time.Duration) string { return f.Printer.Span(d) }
