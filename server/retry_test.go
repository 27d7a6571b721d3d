package server

import (
	"database/sql"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// failTasks leaves n FAILED tasks and returns the ID of the first.
func (c *cli) failTasks(n int, args ...string) string {
	c.t.Helper()
	first := ""
	for range n {
		id := strings.TrimSpace(c.ok(append([]string{"enqueue", "demo.fail", `{"message":"no luck"}`}, args...)...))
		if first == "" {
			first = id
		}
	}
	c.ok("work")
	return first
}

func TestRetryOne(t *testing.T) {
	c := newCLI(t)
	id := c.failTasks(1)
	if out := c.ok("retry", id); out != id+" is READY again\n" {
		t.Error(out)
	}
	if out := c.ok("result", id); !strings.Contains(out, "READY") || !strings.Contains(out, "1 of 2") || !strings.Contains(out, "no luck") {
		t.Error(out)
	}
	if status, _, stderr := c.call("", "retry", id); status != 1 || !strings.Contains(stderr, "not retried: the task is READY") {
		t.Errorf("again: %d %s", status, stderr)
	}
	if status, stdout, stderr := c.call("", "retry", id, "--json"); status != 1 || !strings.HasPrefix(stdout, `{"retried":0,"undispatched":0,"locked":0,"result":{"id":"`+id) || !strings.Contains(stderr, "not retried: the task is READY") {
		t.Errorf("again, as JSON: %d %s%s", status, stdout, stderr)
	}
	c.ok("work")
	if out := c.ok("retry", id, "--json"); !strings.HasPrefix(out, `{"retried":1,"undispatched":0,"locked":0,"result":{"id":"`+id) {
		t.Error(out)
	}
	c.ok("work")
	if status, _, stderr := c.call("", "retry", id, "--queue=emails"); status != 1 || !strings.Contains(stderr, "the other flags do not choose this task") {
		t.Errorf("%d %s", status, stderr)
	}
	if status, stdout, stderr := c.call("", "retry", id, "--queue=emails", "--json"); status != 1 || !strings.HasPrefix(stdout, `{"retried":0,"undispatched":0,"locked":0,"result":{"id":"`+id) || !strings.Contains(stderr, "do not choose") {
		t.Errorf("as JSON: %d %s%s", status, stdout, stderr)
	}
	if status, stdout, stderr := c.call("", "retry", uuid.NewString(), "--json"); status != 1 || stdout != `{"error":"Task not found"}`+"\n" || !strings.Contains(stderr, "not found") {
		t.Errorf("absent: %d %s%s", status, stdout, stderr)
	}
}

func TestRetryAllThatMatch(t *testing.T) {
	c := newCLI(t)
	c.failTasks(3)
	c.failTasks(2, "--queue=emails")
	for _, step := range []struct{ args, want string }{
		{"--dry-run", "5 tasks would be retried\n"},
		{"--dry-run --json --queue emails", `{"count":2,"dry_run":true}` + "\n"},
		{"--yes --task other", "0 tasks retried\n"},
		{"--yes --json --queue emails", `{"retried":2,"undispatched":0,"locked":0}` + "\n"},
		{"--yes --task demo.* --error LUCK --since 1h", "3 tasks retried\n"},
		{"--yes", "0 tasks retried\n"},
	} {
		if out := c.ok(append([]string{"retry", "--all"}, strings.Fields(step.args)...)...); out != step.want {
			t.Errorf("%s: %q, want %q", step.args, out, step.want)
		}
	}
}

// What was asked for is in the audit log of the admin pages, with who asked.
func TestRetryIsAudited(t *testing.T) {
	c := newCLI(t)
	id := c.failTasks(2)
	c.ok("retry", id)
	c.ok("retry", "--all", "--yes", "--task=demo.fail", "--priority=0")
	store, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: c.env["DATABASE_URL"]})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	entries, err := store.AuditLog(t.Context(), uuid.Nil, time.Time{}, 10)
	if err != nil || len(entries) != 2 {
		t.Fatalf("%+v, %v", entries, err)
	}
	all, one := entries[0], entries[1]
	if all.Target != "failed tasks named demo.fail, of priority 0" || all.Action != "retry" || all.Done != 1 || !all.Ended || !strings.HasPrefix(all.Actor, "command line (") {
		t.Errorf("%+v", all)
	}
	if one.Target != "task "+id || one.Task.String() != id || one.Done != 1 || one.Actor != all.Actor {
		t.Errorf("%+v", one)
	}
}

func TestRetryRefusesWhatCouldBeAMistake(t *testing.T) {
	for want, args := range map[string]string{
		"retry needs the ID of a task, or --all":   "",
		"retry takes the ID of one task, or --all": uuid.NewString() + " --all --yes",
		"can ask only on a terminal: add --yes":    "--all --task demo.fail",
		"--dry-run counts for --all":               uuid.NewString() + " --dry-run",
		"--task must not be empty":                 "--all --yes --task=",
		"ID must be a UUID":                        "7",
	} {
		c := newCLI(t)
		if status, stdout, stderr := c.call("", append([]string{"retry"}, strings.Fields(args)...)...); status != 2 || !strings.Contains(stderr, want) || stdout != "" {
			t.Errorf("%s: status %d\n%s%s", args, status, stdout, stderr)
		}
	}
	c := &cli{t: t, env: map[string]string{"DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "t.db")}}
	if status, _, stderr := c.call("", "retry", "--all", "--yes"); status != 1 || !strings.Contains(stderr, "does not exist") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

// A FAILED task without its arguments is not retried, and each command says why, and when
// it is deleted.
func TestRetryOfATaskWhoseArgumentsWereDropped(t *testing.T) {
	c := newCLI(t)
	id := c.failTasks(1, "--keep-successful=1h", "--keep-failed=0s")
	const why = "its retention (Keep, keep_failed) dropped its arguments when it ended, so it cannot be retried; a sweep deletes it after 20"
	for command, want := range map[string]string{
		"run " + id:                    "not run: " + why,
		"run " + id + " --allow-retry": "not run: " + why,
		"retry " + id:                  "not retried: " + why,
	} {
		if status, _, stderr := c.call("", strings.Fields(command)...); status != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s: %d %s", command, status, stderr)
		}
	}
	if status, stdout, _ := c.call("", "run", id, "--allow-retry", "--json"); status != 1 || !strings.Contains(stdout, why) {
		t.Errorf("as JSON: %d %s", status, stdout)
	}
	other := c.failTasks(1)
	if status, stdout, stderr := c.call("", "retry", "--all", "--yes"); status != 0 || stdout != "1 task retried\n" || !strings.Contains(stderr, "warning: 1 task not changed, because their retention dropped their arguments when they ended") {
		t.Errorf("%d %s%s", status, stdout, stderr)
	}
	if out := c.ok("result", other); !strings.Contains(out, "READY") {
		t.Error(out)
	}
	if out := c.ok("retry", "--all", "--yes", "--json"); out != `{"retried":0,"undispatched":0,"locked":0,"dropped":1}`+"\n" {
		t.Error(out)
	}
}

// How many of the tasks nothing here can run is said before the question.
func TestRetryWarnsOfNamesThatAreNotRegistered(t *testing.T) {
	c := newCLI(t)
	c.failTasks(3)
	db, err := sql.Open("sqlite", strings.TrimPrefix(c.env["DATABASE_URL"], "sqlite:"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), `UPDATE claimcheck_tasks SET task_path = 'demo.gone' WHERE id IN (SELECT id FROM claimcheck_tasks LIMIT 2)`); err != nil {
		t.Fatal(err)
	}
	const want = "warning: 2 tasks named demo.gone cannot run here, because this program does not register the name; retried, they wait until one that does is deployed"
	for args, warns := range map[string]bool{"--dry-run": true, "--dry-run --task d*gone": true, "--dry-run --task demo.fail": false, "--yes --queue none": false, "--dry-run --json": true,
		"--dry-run --json --task demo.fail": false, "--yes --json --queue none": false, "--yes": true} {
		if status, stdout, stderr := c.call("", append([]string{"retry", "--all"}, strings.Fields(args)...)...); status != 0 || strings.Contains(stderr, want) != warns {
			t.Errorf("%s: status %d\n%s%s", args, status, stdout, stderr)
		} else if strings.Contains(args, "--json") && (!json.Valid([]byte(stdout)) || strings.Count(stdout, "\n") != 1) {
			t.Errorf("%s: %s", args, stdout)
		}
		if args == "--yes" {
			c.ok("work") // what is registered fails again
			if _, err := db.ExecContext(t.Context(), `UPDATE claimcheck_tasks SET status = 'FAILED', finished_at = 1, attempts = 2, max_attempts = 2 WHERE status = 'READY'`); err != nil {
				t.Fatal(err)
			}
		}
	}
}
