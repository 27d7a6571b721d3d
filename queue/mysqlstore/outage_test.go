package mysqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/mysqlstore"
)

// dedicated starts a server of the test's own, with a database on it.
func dedicated(t *testing.T, options ...string) (*testdb.MariaDBServer, string) {
	t.Helper()
	server := testdb.StartMariaDB(t, options...)
	testdb.ExecMySQL(t, server.URL(""), "CREATE DATABASE tasks")
	return server, server.URL("tasks")
}

// raw is a connection beside the store.
func raw(t *testing.T, databaseURL string) *sql.DB {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("mysql", u.User.String()+"@tcp("+u.Host+")"+u.Path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func claimRequest() queue.ClaimRequest {
	return queue.ClaimRequest{Tasks: []string{"t"}, Worker: "w", Lease: time.Minute, ClaimID: uuid.New()}
}

func TestAStoreOutlivesItsMySQLServer(t *testing.T) {
	server, url := dedicated(t)
	s := migrated(t, url, mysqlstore.Config{MaxConns: 4})
	row := task(0)
	if err := s.Insert(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func(testing.TB){"stop": server.Stop, "crash": server.Crash} {
		var group sync.WaitGroup
		for range 4 { // fills the pool
			group.Go(func() { _ = s.Ping(t.Context()) })
		}
		group.Wait()
		end(t)
		for range 3 {
			err := s.Insert(t.Context(), task(0))
			if !errors.Is(err, queue.ErrUnavailable) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: Insert: %v", name, err)
			}
		}
		server.Start(t)
		if err := s.Insert(t.Context(), task(0)); err != nil {
			t.Errorf("%s: Insert: %v", name, err)
		}
		if _, err := s.Get(t.Context(), row.ID); err != nil {
			t.Errorf("%s: Get: %v", name, err)
		}
	}
}

func TestConnectionsThatTheServerClosedAreReplaced(t *testing.T) {
	server, url := dedicated(t)
	s := migrated(t, url, mysqlstore.Config{MaxConns: 4})
	for range 5 {
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() { _ = s.Ping(t.Context()) })
		}
		group.Wait()
		server.Stop(t)
		server.Start(t)
		if err := s.Insert(t.Context(), task(0)); err != nil {
			t.Errorf("Insert: %v", err)
		}
		if err := s.DispatchFailed(t.Context(), "no", false, uuid.New()); err != nil {
			t.Errorf("DispatchFailed: %v", err)
		}
	}
}

func TestAReadOnlyMySQLServerIsUnavailable(t *testing.T) {
	_, url := dedicated(t)
	testdb.ExecMySQL(t, url, "CREATE USER app; GRANT ALL ON tasks.* TO app")
	s := migrated(t, strings.Replace(url, "root@", "app@", 1), mysqlstore.Config{MaxConns: 2})
	connections := func() (n int) {
		var name string
		if err := raw(t, url).QueryRow("SHOW GLOBAL STATUS LIKE 'Connections'").Scan(&name, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	testdb.ExecMySQL(t, url, "SET GLOBAL read_only = 1")
	before := connections()
	for range 3 {
		err := s.Insert(t.Context(), task(0))
		if !errors.Is(err, queue.ErrUnavailable) {
			t.Fatalf("Insert: %v", err)
		}
		mentions(t, err, "read-only")
	}
	if n := connections() - before; n < 3 { // the counting one, and those that replace what was thrown away
		t.Errorf("%d connections were made", n)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	testdb.ExecMySQL(t, url, "SET GLOBAL read_only = 0")
	if err := s.Insert(t.Context(), task(0)); err != nil {
		t.Error(err)
	}
}

func TestTooManyMySQLConnectionsAreUnavailable(t *testing.T) {
	server := testdb.StartMariaDB(t, "--max-connections=10")
	testdb.ExecMySQL(t, server.URL(""), "CREATE DATABASE tasks; CREATE USER app; GRANT ALL ON tasks.* TO app")
	url := strings.Replace(server.URL("tasks"), "root@", "app@", 1)
	s := migrated(t, url, mysqlstore.Config{MaxConns: 2})
	other := raw(t, url)
	for {
		conn, err := other.Conn(t.Context())
		if err != nil {
			break
		}
		defer conn.Close()
	}
	_, err := mysqlstore.Open(t.Context(), mysqlstore.Config{URL: url})
	if !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("Open: %v", err)
	}
	mentions(t, err, "1040", "Config.MaxConns")
	if err := s.Insert(t.Context(), task(0)); err != nil {
		t.Error(err)
	}
}

func TestACallWaitsOnlySoLongForARow(t *testing.T) {
	url := testdb.MariaDB(t)
	s := migrated(t, url, mysqlstore.Config{AcquireTimeout: time.Second})
	row := task(0)
	if err := s.Insert(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	tx, err := raw(t, url).Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.Exec("UPDATE claimcheck_tasks SET priority = 1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Claim(t.Context(), row.ID, claimRequest()); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("Claim: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Claim(ctx, row.ID, claimRequest()); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("Claim with a context that ends: %v", err)
	}
	rows, err := s.ClaimNext(t.Context(), queue.ClaimNextRequest{Tasks: []string{"t"}, Limit: 5, Worker: "w", Lease: time.Minute})
	if err != nil || len(rows) != 0 {
		t.Errorf("ClaimNext does not pass over a locked row: %v, %v", rows, err)
	}
}

func TestManyStoresClaimEachRowOnce(t *testing.T) {
	const stores, conns, total = 4, 8, 500
	url := testdb.MariaDB(t)
	first := migrated(t, url, mysqlstore.Config{})
	rows := make([]*queue.NewRow, total)
	for i := range rows {
		rows[i] = task(0)
		rows[i].Priority = i % 3
	}
	if err := first.Insert(t.Context(), rows...); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	var claimed sync.Map
	var done atomic.Int64
	var group sync.WaitGroup
	for range stores {
		s := open(t, url, mysqlstore.Config{MaxConns: conns})
		for range conns {
			group.Go(func() {
				for done.Load() < total && t.Context().Err() == nil {
					got, err := s.ClaimNext(t.Context(), queue.ClaimNextRequest{Tasks: []string{"t"}, Limit: 3, Worker: "w", Lease: time.Minute})
					if err != nil {
						t.Errorf("ClaimNext: %v", err)
						return
					}
					for _, row := range got {
						if _, twice := claimed.LoadOrStore(row.ID, true); twice {
							t.Errorf("%s was claimed twice", row.ID)
						}
						if _, err := s.Finish(t.Context(), row.Claim(), queue.Finish{Status: queue.StatusSuccessful}); err != nil {
							t.Errorf("Finish: %v", err)
						}
						done.Add(1)
					}
				}
			})
		}
	}
	group.Wait()
	t.Logf("%d tasks over %d connections in %s", total, stores*conns, time.Since(start))
}

func TestManyMayMigrateMySQLAtOnce(t *testing.T) {
	url := testdb.MariaDB(t)
	var applied sync.Map
	var group sync.WaitGroup
	for range 8 {
		s := open(t, url, mysqlstore.Config{MaxConns: 2})
		group.Go(func() {
			done, err := s.Migrate(t.Context())
			if err != nil {
				t.Error(err)
			}
			for _, migration := range done {
				if _, twice := applied.LoadOrStore(migration.Version, true); twice {
					t.Errorf("migration %d was applied twice", migration.Version)
				}
			}
		})
	}
	group.Wait()
}
