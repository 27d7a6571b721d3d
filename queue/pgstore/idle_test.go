package pgstore_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

// An idle connection is pinged, which is a statement, only if its socket is readable or
// it was idle for long.
func TestIdleConnectionsAreNotPinged(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	ask := func(idle time.Duration) bool {
		return pgstore.ShouldPing(t.Context(), pgxpool.ShouldPingParams{Conn: conn, IdleDuration: idle})
	}
	for range 3 {
		if ask(0) || ask(5*time.Second) || ask(4*time.Minute) {
			t.Error("a living connection is pinged")
		}
		var n int
		if err := conn.QueryRow(t.Context(), "SELECT 1").Scan(&n); err != nil || n != 1 {
			t.Errorf("after a look: %d, %v", n, err)
		}
	}
	if !ask(6 * time.Minute) {
		t.Error("a connection that was idle for long is not pinged")
	}
	terminate(t, url, conn.PgConn().PID())
	if !ask(5 * time.Second) {
		t.Error("a dead connection is not noticed")
	}
}

// A connection that was closed while it was idle is replaced, and no call fails.
func TestConnectionThatDiedWhileIdleIsReplaced(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	migrated(t, pgstore.Config{URL: url})
	store := pgstore.OpenIdle(t, url, 5*time.Second)
	id := uuid.New()
	for range 5 {
		if _, err := store.Get(t.Context(), id); err == nil || err.Error() != queue.ErrNotFound.Error() {
			t.Fatalf("Get: %v", err)
		}
		for _, pid := range store.Backends(t) {
			terminate(t, url, pid)
		}
	}
	if _, err := store.Promote(t.Context(), 10); err != nil {
		t.Errorf("Promote: %v", err)
	}
}

// A statement that could not be sent at all is sent on another connection.
func TestStatementThatWasNotSentIsSentAgain(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	migrated(t, pgstore.Config{URL: url})
	store := pgstore.OpenIdle(t, url, 0) // not looked at before it is used
	for range 3 {
		if _, err := store.Promote(t.Context(), 10); err != nil {
			t.Fatalf("Promote: %v", err)
		}
		if n := store.BreakIdle(t); n == 0 {
			t.Fatal("no idle connection to break")
		}
	}
}

// terminate ends a backend of the server, and waits until it has ended.
func terminate(t *testing.T, url string, pid uint32) {
	t.Helper()
	testdb.Exec(t, url, `DO $$ BEGIN PERFORM pg_terminate_backend(`+strconv.Itoa(int(pid))+`, 10000); END $$`)
}
