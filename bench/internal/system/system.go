// Package system has the systems that are measured: the product, its peers, and
// two yardsticks written by hand. Each does the same things its own way, and is
// set up as somebody would who wants it fast.
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
)

// System is one way to keep background tasks.
type System struct {
	Name   string
	Server Server
	// Setup makes the tables; nil if there are none.
	Setup func(ctx context.Context, url string) error
	Open  func(ctx context.Context, t Target) (Session, error)
}

// Target says what a session works on.
type Target struct {
	URL   string // of the database, or the address of Redis
	Slots int    // tasks that run at once
	Info  bool   // log what is no problem too; claimcheck only
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

// Filler stores n tasks of a kind that pull claims are not to take: delayed
// ones of high priority, or such of a name that nobody knows.
type Filler interface {
	Fill(ctx context.Context, n int, kind Kind) error
}

// Kind is a kind of tasks that only lie there.
type Kind string

// The kinds.
const (
	Delayed Kind = "delayed"
	Unknown Kind = "unknown"
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
	// FinishAll makes every task a finished one of some days ago.
	FinishAll(ctx context.Context) error
	Purge(ctx context.Context) (deleted int, err error)
}

// All are the systems, in the order of tables.
func All() []System {
	return []System{claimcheck(), river("river"), river("river-bench"), asynqOn("asynq", Redis), asynqOn("asynq-fsync", RedisFsync), dbos(), bare(), ideal()}
}

// Named returns the system of this name.
func Named(name string) (System, error) {
	all := All()
	i := slices.IndexFunc(all, func(s System) bool { return s.Name == name })
	if i < 0 {
		return System{}, fmt.Errorf("there is no system %q", name)
	}
	return all[i], nil
}

// Names are the names of all systems.
func Names() []string {
	var names []string
	for _, s := range All() {
		names = append(names, s.Name)
	}
	return names
}
