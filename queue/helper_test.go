package queue_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// system is a whole small installation on an SQLite database in memory.
type system struct {
	t      *testing.T
	store  queue.Store
	client *queue.Client
	exec   *queue.Executor
	log    *lockedBuffer
}

// fullStore is what the stores of this module are.
type fullStore interface {
	queue.Store
	queue.Operator
}

// operator is the client's store as a queue.Operator.
func (s *system) operator() queue.Operator {
	s.t.Helper()
	operator, err := s.client.Operator()
	if err != nil {
		s.t.Fatal(err)
	}
	return operator
}

type setup struct {
	store    queue.Store // nil: a fresh one
	dispatch queue.Dispatcher
	client   queue.Config
	exec     queue.ExecutorConfig
}

func newStore(t *testing.T) *sqlitestore.Store {
	t.Helper()
	store, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: "sqlite::memory:"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

func newSystem(t *testing.T, s setup, defs ...queue.Definition) *system {
	t.Helper()
	sys := &system{t: t, store: s.store, log: &lockedBuffer{}}
	if sys.store == nil {
		sys.store = newStore(t)
	}
	cfg := s.client
	cfg.Store, cfg.Registry, cfg.Dispatcher = sys.store, queue.NewRegistry(defs...), s.dispatch
	cfg.Logger = slog.New(slog.NewTextHandler(sys.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if sys.client, err = queue.NewClient(cfg); err != nil {
		t.Fatal(err)
	}
	if sys.exec, err = queue.NewExecutor(sys.client, s.exec); err != nil {
		t.Fatal(err)
	}
	return sys
}

// enqueue stores a task that must be accepted.
func (s *system) enqueue(name string, args any, opts ...queue.Option) uuid.UUID {
	s.t.Helper()
	handle, err := s.client.Enqueue(s.t.Context(), name, args, opts...)
	if err != nil {
		s.t.Fatal(err)
	}
	return handle.ID
}

// run runs a task that must be claimed.
func (s *system) run(id uuid.UUID) *queue.Run {
	s.t.Helper()
	run, err := s.exec.RunByID(s.t.Context(), id, queue.RunOptions{})
	if err != nil {
		s.t.Fatalf("run %s: %v", id, err)
	}
	return run
}

func (s *system) row(id uuid.UUID) *queue.Row {
	s.t.Helper()
	row, err := s.client.Get(context.Background(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return row
}

// startLocal runs a Local until the test ends, and drains it.
func (s *system) startLocal(local *queue.Local) {
	ctx, stop := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		local.Run(ctx, s.exec)
	}()
	s.t.Cleanup(func() {
		stop()
		<-done
		s.shutdown()
	})
}

// shutdown ends what runs.
func (s *system) shutdown() {
	s.t.Helper()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.exec.Shutdown(ended, time.Minute); err != nil {
		s.t.Error(err)
	}
}

// lockedBuffer collects a log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// recorder is a Dispatcher that keeps its tickets, and fails with err, if it is set.
type recorder struct {
	mu      sync.Mutex
	tickets []queue.Ticket
	err     error
}

func (r *recorder) Dispatch(_ context.Context, tickets ...queue.Ticket) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tickets = append(r.tickets, tickets...)
	return r.err
}

func (r *recorder) sent() []queue.Ticket {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]queue.Ticket(nil), r.tickets...)
}
