package main

import (
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/queuetest"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/server/pushtest"
)

// open returns a sink, and a configuration with the tables of the shop and the task.
func open(t *testing.T) (*sink, *sqlitestore.Store, queue.Config) {
	t.Helper()
	sink, err := startSink()
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: "sqlite::memory:", Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if _, err := store.DB().ExecContext(t.Context(), usersTable); err != nil {
		t.Fatal(err)
	}
	mails := &mailer{addr: sink.addr, db: store.DB()}
	return sink, store, queue.Config{Store: store, Registry: queue.NewRegistry(SendWelcome.HandleFunc(mails.sendWelcome))}
}

func TestAUserIsStoredTogetherWithTheMail(t *testing.T) {
	sink, store, cfg := open(t)
	client := queuetest.NewClient(t, cfg)
	s := &shop{db: store.DB(), client: client}
	if err := s.signUp(t.Context(), "ann@example.com"); err != nil {
		t.Fatal(err)
	}
	queuetest.RequireEnqueued(t, client, SendWelcome, queuetest.Args(Welcome{Email: "ann@example.com"}), queuetest.OnQueue("emails"))
	if err := s.signUp(t.Context(), "ann@example.com"); err == nil {
		t.Error("she was signed up twice")
	}
	queuetest.RequireEnqueued(t, client, SendWelcome) // still one
	queuetest.Drain(t, client)
	if got := <-sink.mails; got != "Welcome, to <ann@example.com>" {
		t.Error(got)
	}
	var welcomed bool
	err := store.DB().QueryRowContext(t.Context(), `SELECT welcomed_at IS NOT NULL FROM users`).Scan(&welcomed)
	if err != nil || !welcomed {
		t.Errorf("welcomed: %v, %v", welcomed, err)
	}
}

func TestAnInvalidAddressIsNotRetried(t *testing.T) {
	_, _, cfg := open(t)
	client := queuetest.NewClient(t, cfg)
	if _, err := SendWelcome.Enqueue(t.Context(), client, Welcome{Email: "nobody"}); err != nil {
		t.Fatal(err)
	}
	queuetest.Drain(t, client)
	queuetest.RequireEnqueued(t, client, SendWelcome, queuetest.Status(queue.StatusFailed))
}

// The whole way: row, Cloud Task, HTTP request with a token, mail.
func TestThroughCloudTasks(t *testing.T) {
	sink, store, cfg := open(t)
	p := pushtest.Start(t, cfg)
	s := &shop{db: store.DB(), client: p.Client}
	if err := s.signUp(t.Context(), "bob@example.com"); err != nil {
		t.Fatal(err)
	}
	p.Wait(t, 30*time.Second)
	if got := <-sink.mails; got != "Welcome, to <bob@example.com>" {
		t.Error(got)
	}
}
