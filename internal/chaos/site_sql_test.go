package chaos

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/chaos/proxy"
	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue/mysqlstore"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// migrateSQL creates the tables of a store of package sqlitestore or mysqlstore.
func migrateSQL(t *testing.T, databaseURL string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var store io.Closer
	var err error
	if strings.HasPrefix(databaseURL, "sqlite:") {
		store, err = sqlitestore.Open(ctx, sqlitestore.Config{URL: databaseURL, Migrate: true})
	} else {
		store, err = mysqlstore.Open(ctx, mysqlstore.Config{URL: databaseURL, Migrate: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = store.Close()
}

// olderMicros is site.older where times are microseconds.
var olderMicros = fmt.Sprintf(`UPDATE claimcheck_tasks SET dispatch_due_at = dispatch_due_at - %d WHERE id IN (%%s)`, aging*1_000_000)

// newMariaDB is a MariaDB server of the run's own. Workers have a user of their
// own, by which their sessions are found.
func newMariaDB(t *testing.T, o options) *site {
	t.Helper()
	const clock = `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))`
	var settings []string
	if o.soak {
		settings = []string{"--innodb-flush-log-at-trx-commit=1"}
	}
	server := testdb.StartMariaDB(t, settings...)
	testdb.ExecMySQL(t, server.URL(""), `CREATE DATABASE tasks; CREATE USER chaos@'%'; GRANT ALL ON tasks.* TO chaos@'%'`)
	migrateSQL(t, server.URL("tasks"))
	p, u := through(t, server.URL("tasks"), proxy.MySQL)
	u.User = url.User("chaos")
	s := &site{
		// Observing must not lock rows that it only reads.
		name: "MariaDB", db: openDB(t, server.URL("tasks")+"?tx_isolation='READ-COMMITTED'"), url: u.String(), proxy: p,
		crash:    func() { server.Crash(t); server.Start(t) },
		sessions: `SELECT id FROM information_schema.processlist WHERE user = 'chaos' ORDER BY id`,
		end:      `KILL %d`,
		waiting: `SELECT id FROM claimcheck_tasks WHERE dispatch_until > ` + clock + ` AND coalesce(run_after, 0) <= ` + clock + `
			FOR UPDATE SKIP LOCKED`,
		older: olderMicros, clock: clock,
		value: "return_value", id: "t.id", micros: integers,
	}
	execAll(t, s.db, tables("BIGINT AUTO_INCREMENT PRIMARY KEY", "LONGTEXT")...)
	execAll(t, s.db,
		`CREATE TRIGGER chaos_insert AFTER INSERT ON claimcheck_tasks FOR EACH ROW `+auditing(clock, "", "NEW"),
		`CREATE TRIGGER chaos_delete AFTER DELETE ON claimcheck_tasks FOR EACH ROW `+auditing(clock, "OLD", ""),
		`CREATE TRIGGER chaos_change AFTER UPDATE ON claimcheck_tasks FOR EACH ROW `+auditing(clock, "OLD", "NEW")+
			` FROM DUAL WHERE `+changed("NOT (%s <=> %s)"))
	return s
}

// newSQLite is a database in a file, a part of the one process that serves it.
func newSQLite(t *testing.T) *site {
	t.Helper()
	const clock = `CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000`
	databaseURL := "sqlite:" + filepath.Join(t.TempDir(), "tasks.db")
	migrateSQL(t, databaseURL)
	s := &site{
		name: "SQLite", db: openDB(t, databaseURL), url: databaseURL,
		waiting: `SELECT id FROM claimcheck_tasks WHERE status = 'READY' AND dispatch_due_at > ` + clock + ` AND coalesce(run_after, 0) <= ` + clock,
		older:   olderMicros, clock: clock,
		value: "return_value", id: "t.id", micros: integers,
	}
	execAll(t, s.db, tables("INTEGER PRIMARY KEY AUTOINCREMENT", "TEXT")...)
	execAll(t, s.db,
		`CREATE TRIGGER chaos_insert AFTER INSERT ON claimcheck_tasks BEGIN `+auditing(clock, "", "NEW")+`; END`,
		`CREATE TRIGGER chaos_delete AFTER DELETE ON claimcheck_tasks BEGIN `+auditing(clock, "OLD", "")+`; END`,
		`CREATE TRIGGER chaos_change AFTER UPDATE ON claimcheck_tasks WHEN `+changed("%s IS NOT %s")+` BEGIN `+auditing(clock, "OLD", "NEW")+`; END`)
	return s
}
