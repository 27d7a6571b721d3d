// Package system has the systems that are measured: the product, its peers, and
// two yardsticks written by hand. Each does the same things its own way, and is
// set up as an operator would who wants it fast.
package system

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Server is where a system keeps its tasks.
type Server string

// The servers.
const (
	Postgres   Server = "postgres"
	Redis      Server = "redis"
	RedisFsync Server = "redis-fsync"
	MariaDB    Server = "mariadb"
	SQLite     Server = "sqlite"
	CloudTasks Server = "cloudtasks" // the fake
)

// System is one way to keep background tasks.
type System struct {
	Name   string
	Server Server
	Slow   bool // drains a tenth of what others do, since it takes so long
	// Setup makes the tables; nil if there are none.
	Setup func(ctx context.Context, t Target) error
	Open  func(ctx context.Context, t Target) (Session, error)
}

// Target says what a session works on.
type Target struct {
	URL    string        // of the database, or the address of Redis or of the fake
	Slots  int           // tasks that run at once
	Sleep  time.Duration // of each task; only the product's do
	Binary string        // the server's program, where a scenario starts it
	Node   string        // the Node.js that graphile-worker runs on
}

// Session is a system that is open. What it can do beyond this it shows by the
// interfaces below.
type Session interface {
	Close(ctx context.Context) error
}

// Enqueuer stores one task, durably if the server is set up so.
type Enqueuer interface {
	Enqueue(ctx context.Context) error
}

// Batcher stores n tasks in one call.
type Batcher interface {
	EnqueueBatch(ctx context.Context, n int) error
}

// Filler stores n tasks of a kind as fast as the database can.
type Filler interface {
	Fill(ctx context.Context, n int, kind Kind) error
}

// Kind is a kind of tasks that lie there.
type Kind string

// The kinds. Only the first is for pull claims to take.
const (
	Due      Kind = "due"
	Delayed  Kind = "delayed"  // and of high priority
	Unknown  Kind = "unknown"  // of an unregistered name, and of high priority
	Finished Kind = "finished" // two days ago
)

// Drainer runs n of the tasks that are pending and returns when their ends are
// stored. It calls claimed, which may be nil, with how long each claim took.
type Drainer interface {
	Drain(ctx context.Context, n int, claimed func(time.Duration)) error
}

// Pusher serves deliveries: POST /tasks/execute/ID/ claims, runs and finishes.
type Pusher interface {
	// Deliveries returns the handler, the headers that requests need, and the
	// IDs of all pending tasks.
	Deliveries(ctx context.Context) (handler http.Handler, header http.Header, ids []string, err error)
}

// Starter waits for tasks, and calls started when a task begins to run.
type Starter interface {
	Start(ctx context.Context, mode StartMode, started func()) (Running, error)
}

// Running is a worker that waits, and the way to give it something to do.
type Running interface {
	Enqueue(ctx context.Context) error
	Stop(ctx context.Context) error
}

// StartMode says where the worker is.
type StartMode string

// The modes: in the process that enqueues, which can wake it, or in another.
const (
	Local  StartMode = "local"
	Remote StartMode = "remote"
)

// Purger deletes finished tasks.
type Purger interface {
	Purge(ctx context.Context) (deleted int, err error)
}

// PurgingDrainer runs n tasks while it purges, until the one or the other ends.
type PurgingDrainer interface {
	Drainer
	DrainPurging(ctx context.Context, n int) (Shared, error)
}

// Shared is what two kinds of work beside each other did in a time.
type Shared struct {
	Runs, Deleted int
	Took          time.Duration
}

// Creator creates Cloud Tasks.
type Creator interface {
	// Concurrencies are those that Create is to be tried with; the best counts.
	Concurrencies() []int
	Create(ctx context.Context, n, concurrency int) error
	// Forget deletes what was created.
	Forget(ctx context.Context) error
}

// External is a session whose client is a separate process, which also times
// what it does.
type External interface {
	Session
	PID() int
	// Repeat has callers store tasks for a time, n in each call, and returns how long
	// each call took.
	Repeat(ctx context.Context, callers, n int, d time.Duration) ([]time.Duration, error)
	// IdleStarts returns, for so many tasks, the time from the call that stores one to
	// its start on a worker that has nothing to do, in the process that stores it.
	IdleStarts(ctx context.Context, samples int) ([]time.Duration, error)
}

// Launcher starts the server's program.
type Launcher interface {
	// Launch returns how long it took to the first answer, and the bytes of
	// memory that the process has after resting.
	Launch(ctx context.Context, rest time.Duration) (first time.Duration, rss int64, err error)
}

// Sleeper is a session whose tasks sleep.
type Sleeper interface {
	Busy() time.Duration
}

// Servant starts the server's program as one that receives deliveries.
type Servant interface {
	// LaunchServing returns how long it took to the first answer, and to that of the
	// first delivery, whose task was run.
	LaunchServing(ctx context.Context) (first, served time.Duration, err error)
	// Rest returns how many statements the program sends in a time in which it has
	// nothing to do, after it has settled, and the bytes of memory that it then has.
	Rest(ctx context.Context, settle, rest time.Duration) (statements, rss int64, err error)
}

// Sharer has one worker become full while another has nothing to do.
type Sharer interface {
	// LongestWait returns how long the last of so many short tasks waited for its start.
	LongestWait(ctx context.Context, quick int) (time.Duration, error)
}

// onURL is a Setup that needs only the URL.
func onURL(setup func(ctx context.Context, url string) error) func(context.Context, Target) error {
	return func(ctx context.Context, t Target) error { return setup(ctx, t.URL) }
}

// All are the systems, in the order of tables.
func All() []System {
	return []System{
		claimcheck("claimcheck", variant{}), claimcheck("claimcheck-info", variant{info: true}),
		claimcheck("claimcheck-pooler", variant{pooler: true}), claimcheck("claimcheck-open", variant{open: true}),
		river("river"), river("river-bench"), graphileWorker(), asynqOn("asynq", Redis), asynqOn("asynq-fsync", RedisFsync), dbos(), bare(), ideal(),
		embedded(SQLite), bareSQL(SQLite), embedded(MariaDB), bareSQL(MariaDB), dispatcher("claimcheck", false), dispatcher("claimcheck-batch", true), bareClient(),
	}
}

// Named returns the system of this name on a server; without one, on that where
// it is measured most.
func Named(name string, server Server) (System, error) {
	all := All()
	i := slices.IndexFunc(all, func(s System) bool { return s.Name == name && (server == "" || s.Server == server) })
	if i < 0 {
		return System{}, fmt.Errorf("there is no system %q %s", name, server)
	}
	return all[i], nil
}

// Names are the names of all systems.
func Names() []string {
	var names []string
	for _, s := range All() {
		if !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	return names
}
