package pgstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

func task() *queue.NewRow {
	return &queue.NewRow{Row: &queue.Row{ID: uuid.Must(uuid.NewV7()), Task: "t", Queue: "q", Backend: "b", Args: json.RawMessage(`1`), MaxAttempts: 3}}
}

// eventually repeats a call until it succeeds; while it fails, it must say that
// the database is unavailable.
func eventually(t *testing.T, call func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := call()
		if err == nil {
			return
		}
		if !errors.Is(err, queue.ErrUnavailable) {
			t.Fatalf("not ErrUnavailable: %v", err)
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestAStoreOutlivesItsServer(t *testing.T) {
	server := testdb.StartPostgres(t)
	s := migrated(t, pgstore.Config{URL: server.URL("postgres")})
	row := task()
	if err := s.Insert(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func(testing.TB){"stop": server.Stop, "crash": server.Crash} {
		end(t)
		for range 3 {
			err := s.Insert(t.Context(), task())
			if !errors.Is(err, queue.ErrUnavailable) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: Insert: %v", name, err)
			}
		}
		server.Start(t)
		eventually(t, func() error { return s.Insert(t.Context(), task()) })
		if _, err := s.Get(t.Context(), row.ID); err != nil {
			t.Errorf("%s: Get: %v", name, err)
		}
	}
}

func TestAKilledConnectionIsReplaced(t *testing.T) {
	url := testdb.Postgres(t)
	s := migrated(t, pgstore.Config{URL: url + "&application_name=victim", MaxConns: 2})
	testdb.Exec(t, url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'`)
	eventually(t, func() error { return s.Insert(t.Context(), task()) })
}

func TestAReadOnlyServerIsUnavailableAndItsConnectionThrownAway(t *testing.T) {
	url := testdb.Postgres(t)
	migrated(t, pgstore.Config{URL: url})
	pool, err := pgxpool.New(t.Context(), url+"&pool_max_conns=1")
	if err != nil {
		t.Fatal(err)
	}
	s := pgstore.New(pool)
	defer func() { _ = s.Close() }()
	// The session is what a failed-over server is: read-only until one
	// connects again.
	if _, err := pool.Exec(t.Context(), "SET default_transaction_read_only = on"); err != nil {
		t.Fatal(err)
	}
	if err := s.Insert(t.Context(), task()); !errors.Is(err, queue.ErrUnavailable) {
		t.Fatalf("Insert: %v", err)
	}
	if err := s.Insert(t.Context(), task()); err != nil {
		t.Errorf("Insert on a new connection: %v", err)
	}
}

func TestAStatementThatTheServerCutsOffIsUnavailable(t *testing.T) {
	url := testdb.Postgres(t)
	s := migrated(t, pgstore.Config{URL: url})
	row := task()
	if err := s.Insert(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	holder, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	tx, err := holder.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), "SELECT FROM claimcheck_tasks FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	req := queue.ClaimRequest{Tasks: []string{"t"}, Worker: "w", Lease: time.Minute, ClaimID: uuid.New()}

	for _, setting := range []string{"statement_timeout", "lock_timeout"} {
		impatient := open(t, pgstore.Config{URL: url + "&" + setting + "=20"})
		if _, err := impatient.Claim(t.Context(), row.ID, req); !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("%s: Claim: %v", setting, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Claim(ctx, row.ID, req); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("Claim with a context that ends: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	rows, err := s.ClaimNext(ctx, queue.ClaimNextRequest{Tasks: []string{"t"}, Limit: 5, Worker: "w", Lease: time.Minute})
	if err != nil || len(rows) != 0 {
		t.Errorf("ClaimNext does not pass over a locked row: %v, %v", rows, err)
	}
}

func TestAMigrationUnderARunningStoreIsHarmless(t *testing.T) {
	url := testdb.Postgres(t)
	s := migrated(t, pgstore.Config{URL: url, MaxConns: 2})
	insertAndClaim := func() {
		t.Helper()
		row := task()
		if err := s.Insert(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		if _, err := s.ClaimNext(t.Context(), queue.ClaimNextRequest{Tasks: []string{"t"}, Limit: 5, Worker: "w", Lease: time.Minute}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), row.ID); err != nil {
			t.Fatal(err)
		}
	}
	insertAndClaim()
	testdb.Exec(t, url, "ALTER TABLE claimcheck_tasks ADD COLUMN later text; ALTER TABLE claimcheck_tasks ALTER COLUMN priority TYPE integer")
	insertAndClaim()
}
