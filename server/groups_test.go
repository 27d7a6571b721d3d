package server

import (
	"strings"
	"testing"
)

func TestGroupsCommand(t *testing.T) {
	c := newCLI(t)
	c.ok("migrate")
	id := strings.TrimSpace(c.ok("groups", "create", "import", "--on-success", "demo.echo", "--success-args", `"all"`, "--on-failure", "demo.echo"))
	member := strings.TrimSpace(c.ok("enqueue", "demo.echo", "1", "--group", id))
	if out := c.ok("groups"); !strings.Contains(out, id) || !strings.Contains(out, "import") || !strings.Contains(out, "open") {
		t.Errorf("list: %q", out)
	}
	if out := c.ok("groups", "create", "import", "--id", id, "--on-success", "demo.echo", "--success-args", `"all"`, "--on-failure", "demo.echo", "--json"); !strings.Contains(out, `"existed"`) || !strings.Contains(out, `"total_count"`) {
		t.Errorf("create again: %q", out)
	}
	if out := c.ok("groups", "close", id); !strings.HasPrefix(out, "group "+id+" is closed\n") || !strings.Contains(out, "running") {
		t.Errorf("close: %q", out)
	}
	if status, _, stderr := c.call("", "enqueue", "demo.echo", "--group", id); status != 1 || !strings.Contains(stderr, "the group is closed") {
		t.Errorf("a task for a closed group: %d %q", status, stderr)
	}
	c.ok("run", member)
	if out := c.ok("groups", "show", id); !strings.Contains(out, "succeeded") || !strings.Contains(out, "1: 0 ready, 0 running, 1 successful") || !strings.Contains(out, "demo.echo was enqueued: ") {
		t.Errorf("show: %q", out)
	}
	if out := c.ok("groups", "list", "--limit", "1", "--json"); !strings.Contains(out, `"succeeded"`) {
		t.Errorf("list as JSON: %q", out)
	}
}

func TestGroupsCancelCommand(t *testing.T) {
	c := newCLI(t)
	c.ok("migrate")
	id := strings.TrimSpace(c.ok("groups", "create"))
	c.ok("enqueue", "demo.echo", "1", "--group", id)
	c.ok("enqueue", "demo.echo", "2", "--group", id)
	if status, _, stderr := c.call("", "groups", "cancel", id); status != 2 || !strings.Contains(stderr, "add --yes") {
		t.Errorf("without a terminal: %d %q", status, stderr)
	}
	if out := c.ok("groups", "cancel", id, "--yes"); out != "2 tasks cancelled\n" {
		t.Errorf("cancel: %q", out)
	}
	if out := c.ok("groups", "cancel", id, "--yes", "--json"); !strings.Contains(out, `"cancelled"`) || !strings.Contains(out, `"cancelled_count"`) {
		t.Errorf("cancel as JSON: %q", out)
	}
	if out := c.ok("groups", "close", id, "--json"); !strings.Contains(out, `"failed"`) {
		t.Errorf("close: %q", out)
	}
}

func TestGroupsCommandRefuses(t *testing.T) {
	c := newCLI(t)
	c.ok("migrate")
	const none = "01890a5d-ac96-774b-bcce-b302099a8057"
	for want, args := range map[string][]string{
		"needs the ID of a group":               {"groups", "close"},
		"ID must be a UUID":                     {"groups", "show", "import"},
		"takes no ID":                           {"groups", "list", none},
		"--on-success belongs to groups create": {"groups", "list", "--on-success", "demo.echo"},
		"--limit belongs to groups list":        {"groups", "show", none, "--limit", "3"},
		"--limit must be a whole number":        {"groups", "--limit", "0"},
		"--yes belongs to groups cancel":        {"groups", "close", none, "--yes"},
		"--success-args belongs together":       {"groups", "create", "--success-args", "1"},
		"--failure-args must be JSON":           {"groups", "create", "--on-failure", "demo.echo", "--failure-args", "{"},
		"--group: ID must be a UUID":            {"enqueue", "demo.echo", "--group", "import"},
	} {
		if status, _, stderr := c.call("", args...); status != 2 || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: %d %q, want %q", args, status, stderr, want)
		}
	}
	for want, args := range map[string][]string{
		"there is no group " + none:                         {"groups", "show", none},
		"on_success: task \"demo.other\" is not registered": {"groups", "create", "--on-success", "demo.other"},
		"group not found":                                   {"enqueue", "demo.echo", "--group", none},
	} {
		if status, _, stderr := c.call("", args...); status == 0 || !strings.Contains(strings.ToLower(stderr), want) {
			t.Errorf("%v: %d %q, want %q", args, status, stderr, want)
		}
	}
}
