package server

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
)

// ids are those of a list in JSON, one object a line.
func (c *cli) ids(args ...string) []string {
	c.t.Helper()
	var ids []string
	for line := range strings.Lines(c.ok(append([]string{"list", "--json"}, args...)...)) {
		var task struct {
			ID     string `json:"id"`
			Status string `json:"status"`
		}
		if err := json.Unmarshal([]byte(line), &task); err != nil || task.ID == "" || task.Status == "" {
			c.t.Fatalf("%q: %v", line, err)
		}
		ids = append(ids, task.ID)
	}
	return ids
}

func TestListFiltersNewestFirst(t *testing.T) {
	c := newCLI(t)
	enqueue := func(args ...string) string { return strings.TrimSpace(c.ok(append([]string{"enqueue"}, args...)...)) }
	failed, done := enqueue("demo.fail", `{"message":"no route to host"}`), enqueue("demo.echo", "1")
	c.ok("work")
	ready := enqueue("demo.echo", "--queue=emails", "--priority=5")
	later := enqueue("demo.sleep", "--run-after=2h")
	for _, step := range []struct {
		args string
		want []string
	}{
		{"", []string{later, ready, done, failed}},
		{"--status FAILED", []string{failed}},
		{"--status successful", []string{done}},
		{"--status READY", []string{later, ready}},
		{"--status RUNNING", nil},
		{"--task demo.echo", []string{ready, done}},
		{"--task demo.* --status READY", []string{later, ready}},
		{"--queue emails", []string{ready}},
		{"--priority 5", []string{ready}},
		{"--backend default --priority 0", []string{later, done, failed}},
		{"--error ROUTE", []string{failed}},
		{"--id " + done + "," + ready, []string{ready, done}},
		{"--id " + done + " --id " + failed, []string{done, failed}},
		{"--since 1h", []string{later, ready, done, failed}},
		{"--until 1h", nil},
		{"--since 2026-01-01 --until 2026-01-02", nil},
		{"--limit 2", []string{later, ready}},
		{"--id " + done[:len(done)-1] + " --id " + ready, []string{ready, done}},
		{"--task *.echo", []string{ready, done}},
		{"--args message=no", nil},
		{"--args duration_ms=5 --args other=1", nil},
		{"--text ROUTE", []string{failed}},
		{"--text ROUTE --status FAILED", []string{failed}},
	} {
		if got := c.ids(strings.Fields(step.args)...); !slices.Equal(got, step.want) {
			t.Errorf("%q: %q, want %q", step.args, got, step.want)
		}
	}
	out := c.ok("list")
	if lines := strings.Split(out, "\n"); !strings.HasPrefix(lines[0], "ID  ") || !strings.Contains(lines[4], "FAILED") || !strings.Contains(lines[4], "no route to host") || strings.Contains(out, "\x1b") {
		t.Error(out)
	}
}

// A cursor leads through all pages, also from one view of READY tasks to the next.
func TestListPages(t *testing.T) {
	c := newCLI(t)
	for i := range 3 {
		c.ok("enqueue", "demo.echo", "--run-after", []string{"2h", "3h", "4h"}[i])
		c.ok("enqueue", "demo.echo")
	}
	next := regexp.MustCompile(`--cursor (\S+)\n`)
	for _, filter := range [][]string{nil, {"--status=READY"}} {
		all := c.ids(filter...)
		if len(all) != 6 {
			t.Fatalf("%q", all)
		}
		for _, limit := range []string{"1", "2", "3", "5"} {
			var paged []string
			cursor := ""
			for {
				args := append([]string{"list", "--json", "--limit", limit, "--cursor", cursor}, filter...)
				status, stdout, stderr := c.call("", args...)
				if status != 0 {
					t.Fatalf("%v: %s", args, stderr)
				}
				for line := range strings.Lines(stdout) {
					paged = append(paged, line[len(`{"id":"`):][:36])
				}
				more := next.FindStringSubmatch(stderr)
				if more == nil {
					break
				}
				cursor = more[1]
			}
			if !slices.Equal(paged, all) {
				t.Errorf("%v, %s a page: %q, want %q", filter, limit, paged, all)
			}
		}
	}
}

func TestListRefusesWhatItDoesNotUnderstand(t *testing.T) {
	c := newCLI(t)
	c.ok("migrate")
	for want, args := range map[string]string{
		"--status must be READY, RUNNING, SUCCESSFUL, FAILED or CANCELLED, not \"DONE\"": "--status=DONE",
		"not \"\"":                                   "--status=",
		"--limit must be from 1 to 1000, not 0":      "--limit=0",
		"--limit must be from 1 to 1000, not 1001":   "--limit=1001",
		"--id takes IDs of tasks":                    "--id=x7",
		"--group must be the ID of a group":          "--group=7",
		"--args must be FIELD=VALUE":                 "--args=user_id",
		"--text must not be empty":                   "--text=",
		"--task must not be empty":                   "--task=",
		"--queue must not be empty":                  "--queue=",
		"--backend \"x\" is not known":               "--backend=x",
		"--priority must be from -100 to 100":        "--priority=101",
		"--since must be a time such as":             "--since=yesterday",
		"--until must be a time such as":             "--until=-1h",
		"must be what an earlier page with the same": "--status=READY --cursor=x",
		"--cursor must be what an earlier page":      "--cursor=x",
		"not \"pending.x\"":                          "--status=READY --cursor=pending.x",
	} {
		status, stdout, stderr := c.call("", append([]string{"list"}, strings.Fields(args)...)...)
		if status != 2 || !strings.Contains(stderr, want) || stdout != "" || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: status %d\n%s%s", args, status, stdout, stderr)
		}
	}
}

// Filters by contents find no task whose arguments are hidden, in no command, and say so.
func TestContentsAreFoundUnlessTheyAreHidden(t *testing.T) {
	c := newCLI(t)
	enqueue := func(args ...string) string { return strings.TrimSpace(c.ok(append([]string{"enqueue"}, args...)...)) }
	open, hidden := enqueue("demo.fail", `{"message":"a,b=c 4711"}`), enqueue("demo.echo", `{"message":"a,b=c 4711"}`)
	c.ok("work")
	search := []string{"--args", "message=a,b=c 4711"}
	if got := c.ids(search...); !slices.Equal(got, []string{hidden, open}) {
		t.Errorf("%q", got)
	}
	c.env["ADMIN_REDACT"] = "demo.echo"
	for _, search := range [][]string{search, {"--text", "4711"}} {
		status, stdout, stderr := c.call("", append([]string{"list"}, search...)...)
		if status != 0 || !strings.Contains(stdout, open) || strings.Contains(stdout, hidden) || !strings.Contains(stderr, "tasks whose arguments are hidden (ADMIN_REDACT) were not searched") {
			t.Errorf("%q: %s%s", search, stdout, stderr)
		}
	}
	c.env["ADMIN_REDACT"] = "demo.fail"
	for _, flags := range [][]string{{"--dry-run"}, {"--yes"}} {
		if got := c.ok(append(append([]string{"retry", "--all"}, search...), flags...)...); !strings.HasPrefix(got, "0 tasks") {
			t.Errorf("%q: %s", flags, got)
		}
	}
	c.env["ADMIN_REDACT"] = ""
	if got := c.ok(append([]string{"retry", "--all", "--yes"}, search...)...); got != "1 task retried\n" {
		t.Error(got)
	}
	if got := c.ids("--status=READY"); !slices.Equal(got, []string{open}) {
		t.Errorf("READY: %q", got)
	}
}

// What ADMIN_REDACT hides by one name of a task is not found under another.
func TestContentsAreHiddenUnderAllNamesOfATask(t *testing.T) {
	names := []string{"new.pay", "old.pay", "older.pay"}
	c := newCLI(t)
	c.tasks = []queue.Definition{queue.Declare[any, any]("new.pay", queue.Alias(names[1:]...)), queue.Declare[any, any]("dead.letter")}
	for _, name := range names {
		c.ok("enqueue", name, `{"card":"5555"}`)
		c.ok("enqueue", "dead.letter", `{"task_path":"`+name+`","args":{"card":"5555"}}`)
	}
	if got := c.ids("--text=5555"); len(got) != 6 {
		t.Fatalf("without it: %q", got)
	}
	for _, hidden := range names {
		c.env["ADMIN_REDACT"] = hidden
		for _, search := range []string{"--text=5555", "--args=card=5555", "--args=args.card=5555"} {
			status, stdout, stderr := c.call("", "list", search)
			if status != 0 || strings.Contains(stdout, ".pay") || strings.Contains(stdout, "dead.letter") || !strings.Contains(stderr, "(ADMIN_REDACT) were not searched") {
				t.Errorf("hidden: %s, %s: %s%s", hidden, search, stdout, stderr)
			}
		}
	}
}
