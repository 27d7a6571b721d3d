package server

import (
	"strings"
	"testing"

	"github.com/google/uuid"
)

func TestEnqueueSaysHowATaskEndsFromTheCommandLine(t *testing.T) {
	c := newCLI(t)
	expired := strings.TrimSpace(c.ok("enqueue", "demo.echo", "--expires", "1us"))
	kept := strings.TrimSpace(c.ok("enqueue", "demo.echo", `"secret"`, "--expires", "2h", "--keep-successful", "0", "--keep-failed", "720h"))
	if status, _, stderr := c.call("", "run", expired); status != 1 || !strings.Contains(stderr, "not started before its expires_at") {
		t.Errorf("run of an expired task: %d %s", status, stderr)
	}
	if out := c.ok("run", kept); !strings.Contains(out, "SUCCESSFUL") {
		t.Error(out)
	}
	if out := c.ok("result", kept, "--args"); strings.Contains(out, "secret") {
		t.Errorf("the task was not kept: %s", out)
	}
	if out := c.ok("sweep", "--json"); strings.Contains(out, "deleted") || strings.Contains(out, "expired") { // both are left out when they are 0
		t.Error(out)
	}
	if out := c.ok("purge", "--yes", "--status", "SUCCESSFUL"); out != "0 tasks deleted\n" { // it is kept for ten minutes
		t.Error(out)
	}
	for want, args := range map[string][]string{
		"--expires must be a time such as":                      {"--expires", "tomorrow"},
		"--keep-failed belongs together with --keep-successful": {"--keep-failed", "1h"},
		"--keep-successful belongs together with --keep-failed": {"--keep-successful", "1h"},
		"--keep-successful: must be a duration such as":         {"--keep-successful", "1d"},
	} {
		if status, _, stderr := c.call("", append([]string{"enqueue", "demo.echo"}, args...)...); status != 2 || !strings.Contains(stderr, want) {
			t.Errorf("%v: %d %s", args, status, stderr)
		}
	}
}

func TestDeleteFromTheCommandLine(t *testing.T) {
	c := newCLI(t)
	first, second := strings.TrimSpace(c.ok("enqueue", "demo.echo")), strings.TrimSpace(c.ok("enqueue", "demo.echo"))
	if status, _, stderr := c.call("", "delete", first); status != 2 || !strings.Contains(stderr, "add --yes") {
		t.Errorf("without --yes: %d %s", status, stderr)
	}
	if out := c.ok("delete", first, "--yes"); out != first+" deleted\n" {
		t.Error(out)
	}
	if out := c.ok("delete", second, "--yes", "--json"); out != `{"deleted":true}`+"\n" {
		t.Error(out)
	}
	if status, stdout, stderr := c.call("", "delete", first, "--yes"); status != 1 || stdout != "" || !strings.Contains(stderr, "was never in this database") {
		t.Errorf("again: %d %s%s", status, stdout, stderr)
	}
	if status, stdout, _ := c.call("", "delete", uuid.NewString(), "--yes", "--json"); status != 1 || stdout != `{"error":"Task not found"}`+"\n" {
		t.Errorf("absent: %d %s", status, stdout)
	}
}

func TestSettingsOfRetentionAndBacklog(t *testing.T) {
	for want, env := range map[string]map[string]string{
		"TASKS_KEEP_FAILED is not set, but TASKS_KEEP_SUCCESSFUL is":       {"TASKS_KEEP_SUCCESSFUL": "1h"},
		"TASKS_KEEP_SUCCESSFUL is not set, but TASKS_KEEP_FAILED is":       {"TASKS_KEEP_FAILED": "1h"},
		"TASKS_KEEP_FAILED must be a duration from 0 to 438000h":           {"TASKS_KEEP_SUCCESSFUL": "0", "TASKS_KEEP_FAILED": "30d"},
		`TASKS_MAX_BACKLOG: "emails" is not understood`:                    {"TASKS_MAX_BACKLOG": "emails"},
		`TASKS_MAX_BACKLOG: "0" is not understood`:                         {"TASKS_MAX_BACKLOG": "0"},
		`TASKS_MAX_BACKLOG has two numbers for the same queue: "emails=2"`: {"TASKS_MAX_BACKLOG": "emails=1, emails=2"},
		"TASKS_MAX_BACKLOG is set but names nothing":                       {"TASKS_MAX_BACKLOG": ","},
	} {
		c := newCLI(t)
		for name, value := range env {
			c.env[name] = value
		}
		if status, _, stderr := c.call("", "enqueue", "demo.echo"); status != 2 || !strings.Contains(stderr, want) {
			t.Errorf("%v: %d %s", env, status, stderr)
		}
	}
	c := newCLI(t)
	c.env["TASKS_MAX_BACKLOG"], c.env["TASKS_KEEP_SUCCESSFUL"], c.env["TASKS_KEEP_FAILED"] = "2,emails=1", "0", "24h"
	c.ok("enqueue", "demo.echo", "--queue", "emails")
	if status, _, stderr := c.call("", "enqueue", "demo.echo", "--queue", "emails"); status != 1 || !strings.Contains(stderr, "the queue's backlog is full: it has 1 READY tasks, and may have 1") {
		t.Errorf("a full queue: %d %s", status, stderr)
	}
	line := `{"task":"demo.echo","queue_name":"bulk"}` + "\n"
	c.env["TASKS_MAX_BACKLOG"] = "bulk=2,9" // chunks of no more lines than fit
	if status, stdout, stderr := c.call(strings.Repeat(line, 3), "enqueue", "-"); status != 1 || strings.Count(stdout, "\n") != 2 || !strings.Contains(stderr, "it has 2 READY tasks, and may have 2") {
		t.Errorf("one line more than fits: %d %s%s", status, stdout, stderr)
	}
	id := strings.TrimSpace(c.ok("enqueue", "demo.echo", `"secret"`))
	c.ok("run", id)
	if out := c.ok("result", id, "--args"); strings.Contains(out, "secret") {
		t.Errorf("the task was not kept: %s", out)
	}
}
