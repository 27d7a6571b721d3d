package server

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
)

// Commands that only look, and those that only count, change nothing: neither what they are
// about nor what a sweep would do.
func TestReadingCommandsChangeNothing(t *testing.T) {
	c := newCLI(t)
	c.failTasks(3)
	id := strings.TrimSpace(c.ok("enqueue", "demo.echo", `{}`))
	over := strings.TrimSpace(c.ok("enqueue", "demo.echo", `{}`))
	db, err := sql.Open("sqlite", strings.TrimPrefix(c.env["DATABASE_URL"], "sqlite:"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), `UPDATE claimcheck_tasks SET expires_at = 1 WHERE id = '`+over+`'`); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `UPDATE claimcheck_tasks SET status = 'RUNNING', attempts = 1, started_at = 1, last_attempted_at = 1, lease_expires_at = 1 WHERE id = '`+id+`'`); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(c.ok("result", id), "RUNNING") {
		t.Fatal("no task is RUNNING")
	}
	before := testdb.SQLiteTables(t, db)
	for _, command := range []string{
		"retry --all --dry-run", "retry --all --dry-run --task nosuch", "retry --all --dry-run --text nosuch", "retry --all --yes --task nosuch --dry-run --json",
		"purge --dry-run", "requeue --older-than 1m --dry-run", "requeue --older-than 1m --dry-run --mark-failed",
		"result " + id, "status", "status --json", "list", "list --text 4711", "tasks", "figures", "audit", "schedules", "queues", "groups", "limits", "keys", "doctor", "migrate status", "version",
	} {
		status, stdout, stderr := c.call("", strings.Fields(command)...)
		if status != 0 && command != "doctor" {
			t.Errorf("%s: status %d\n%s%s", command, status, stdout, stderr)
		}
		after := testdb.SQLiteTables(t, db)
		for name := range after {
			if before[name] != after[name] {
				t.Errorf("%s changed the table %s", command, name)
			}
		}
		before = after
	}
}
