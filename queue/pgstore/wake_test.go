package pgstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

// A worker that polls once an hour runs what the client of another store enqueues.
func TestAWorkerIsNotifiedOfTasks(t *testing.T) {
	config := pgstore.Config{URL: testdb.Postgres(t)}
	ran := make(chan struct{})
	task := queue.NewTask("t", func(context.Context, any) (any, error) {
		close(ran)
		return nil, nil
	})
	client := func(s *pgstore.Store) *queue.Client {
		c, err := queue.NewClient(queue.Config{Store: s, Registry: queue.NewRegistry(task)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	executor, err := queue.NewExecutor(client(migrated(t, config)), queue.ExecutorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := executor.Work(ctx, queue.WorkConfig{Continuous: true, Interval: time.Hour})
		ended <- err
	}()
	untilAWorkerListens(t, config.URL)
	if _, err := client(open(t, config)).Enqueue(t.Context(), "t", nil); err != nil {
		t.Fatal(err)
	}
	<-ran
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestABrokenListenerReturnsItsError(t *testing.T) {
	config := pgstore.Config{URL: testdb.Postgres(t)}
	s := migrated(t, config)
	ended := make(chan error)
	go func() { ended <- s.Listen(t.Context(), func() {}) }()
	untilAWorkerListens(t, config.URL)
	testdb.Exec(t, config.URL, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND datname = current_database()`)
	if err := <-ended; !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	pooled := open(t, pgstore.Config{URL: config.URL, Pooler: true})
	if err := pooled.Listen(t.Context(), func() {}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("through a pooler: %v", err)
	}
}

// untilAWorkerListens returns when a connection has sent LISTEN and waits.
func untilAWorkerListens(t *testing.T, url string) {
	t.Helper()
	s := open(t, pgstore.Config{URL: url})
	for listening := false; !listening; {
		var err error
		if listening, err = s.Listening(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
