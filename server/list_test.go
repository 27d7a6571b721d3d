package server

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
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
		"--id: ID must be a UUID":                    "--id=7",
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
