package main

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/queuetest"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/server/pushtest"
)

// open returns an importer with an empty table, and a file of 1000 lines.
func open(t *testing.T, fails func(Position) error) (*importer, Import) {
	t.Helper()
	store, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: "sqlite::memory:"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if _, err := store.DB().ExecContext(t.Context(), customersTable); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "customers.csv")
	if err := os.WriteFile(path, sample(1000), 0o600); err != nil {
		t.Fatal(err)
	}
	return &importer{db: store.DB(), batch: 50, piece: 4, fails: fails}, Import{Path: path}
}

func customers(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM customers`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAnImportGoesOnWhereItWas(t *testing.T) {
	im, in := open(t, once(650))
	client, _ := queuetest.New(t, ImportCustomers.Handle(im.run))
	handle, err := ImportCustomers.Enqueue(t.Context(), client, in)
	if err != nil {
		t.Fatal(err)
	}
	queuetest.RequireEnqueued(t, client, ImportCustomers, queuetest.Args(in), queuetest.OnQueue("imports"))
	queuetest.Drain(t, client) // three pieces, and the failure after 650 lines
	if row, _ := client.Get(t.Context(), handle.ID); row.Attempts != 4 || row.Progress.Done != 650 || row.Progress.Total != 1000 || customers(t, im.db) != 650 {
		t.Errorf("attempts %d, progress %+v, %d customers", row.Attempts, row.Progress, customers(t, im.db))
	}
	queuetest.DrainFor(t, client, time.Minute)
	end, err := ImportCustomers.Result(t.Context(), client, handle.ID)
	if err != nil || end.Imported != 999 || end.Rejected != 1 || customers(t, im.db) != 999 {
		t.Errorf("%+v, %v, %d customers", end, err, customers(t, im.db))
	}
}

func TestWithoutProgressItFailsAfterThreeAttempts(t *testing.T) {
	im, in := open(t, func(Position) error { return errors.New("the database is away") })
	client, _ := queuetest.New(t, ImportCustomers.Handle(im.run))
	if _, err := ImportCustomers.Enqueue(t.Context(), client, in); err != nil {
		t.Fatal(err)
	}
	queuetest.DrainFor(t, client, time.Hour)
	got := queuetest.RequireEnqueued(t, client, ImportCustomers, queuetest.Status(queue.StatusFailed))
	if got.Attempts > 4 { // the count is progress, too
		t.Errorf("%d attempts", got.Attempts)
	}
}

// The whole way: row, a Cloud Task and an HTTP request with a token for each piece.
func TestThroughCloudTasks(t *testing.T) {
	im, in := open(t, func(Position) error { return nil })
	p := pushtest.Start(t, queue.Config{Registry: queue.NewRegistry(ImportCustomers.Handle(im.run))})
	if _, err := ImportCustomers.Enqueue(t.Context(), p.Client, in); err != nil {
		t.Fatal(err)
	}
	p.Wait(t, 30*time.Second)
	queuetest.RequireEnqueued(t, p.Client, ImportCustomers, queuetest.Status(queue.StatusSuccessful))
	if stats := p.CloudTasks.Stats(); stats.Delivered < 5 || customers(t, im.db) != 999 {
		t.Errorf("%+v, %d customers", stats, customers(t, im.db))
	}
}
