package server

import (
	"strings"
	"testing"
)

func TestQueuesCommand(t *testing.T) {
	c := newCLI(t)
	c.ok("migrate")
	id := strings.TrimSpace(c.ok("enqueue", "demo.echo", "1", "--queue", "emails"))
	if out := c.ok("queues", "pause", "emails", "--reason", "maintenance"); out != "queue emails is paused; this command has set aside 1 task\n" {
		t.Errorf("pause: %q", out)
	}
	if out := c.ok("queues", "pause", "emails", "--reason", "another"); !strings.HasPrefix(out, "queue emails was paused already, by command line") || !strings.Contains(out, ": maintenance (the reason stays as it was);") {
		t.Errorf("pause again: %q", out)
	}
	for _, args := range [][]string{{"queues"}, {"queues", "list"}} {
		if out := c.ok(args...); !strings.Contains(out, "PAUSED SINCE") || !strings.Contains(out, "emails") || !strings.Contains(out, "maintenance") {
			t.Errorf("%v: %q", args, out)
		}
	}
	if out := c.ok("queues", "--json"); !strings.Contains(out, `"limit": null`) && !strings.Contains(out, `"limit":null`) {
		t.Errorf("list as JSON: %q", out)
	}
	if out := c.ok("list", "--status", "READY", "--queue", "emails"); !strings.Contains(out, id) {
		t.Errorf("a parked task is not listed: %q", out)
	}
	status, _, stderr := c.call("", "run", id)
	if status != 1 || !strings.Contains(stderr, "not run: queue emails is paused") || !strings.Contains(stderr, "queues resume emails") {
		t.Errorf("run: %d %q", status, stderr)
	}
	if out := c.ok("queues", "resume", "emails"); out != "queue emails is resumed; this command has made claimable 1 task\n" {
		t.Errorf("resume: %q", out)
	}
	if out := c.ok("queues", "resume", "emails"); !strings.HasPrefix(out, "queue emails was not paused") {
		t.Errorf("resume again: %q", out)
	}
	c.ok("run", id)
	for _, args := range [][]string{{"queues", "pause"}, {"queues", "list", "emails"}, {"queues", "resume", "emails", "--reason", "x"}, {"queues", "stop", "emails"}} {
		if status, _, stderr := c.call("", args...); status != 2 || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: %d %q", args, status, stderr)
		}
	}
	if status, _, stderr := c.call("", "queues", "pause", "a b"); status == 0 || !strings.Contains(stderr, "1 to 100 letters") {
		t.Errorf("a name that no queue has: %d %q", status, stderr)
	}
}

// A name that nothing has is probably a slip.
func TestPauseOfAnUnknownQueueIsWarnedAbout(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	c.ok("migrate")
	c.ok("enqueue", "demo.echo", "1", "--queue", "emails")
	for name, warned := range map[string]bool{"emials": true, "emails": false, "default": false} {
		status, out, stderr := c.call("", "queues", "pause", name)
		if status != 0 || !strings.HasPrefix(out, "queue "+name+" is paused") || strings.Contains(stderr, "is the name right?") != warned {
			t.Errorf("%s: %d %q %q", name, status, out, stderr)
		}
	}
}

// Tasks of a resumed queue with a rate follow at that rate, which is no failure.
func TestResumeOfAQueueWithARate(t *testing.T) {
	c := newCLI(t)
	c.ok("migrate")
	c.ok("queues", "limit", "emails", "--starts", "2/1m")
	for range 3 {
		c.ok("enqueue", "demo.echo", "1", "--queue", "emails")
	}
	c.ok("queues", "pause", "emails")
	status, out, stderr := c.call("", "queues", "resume", "emails")
	if status != 0 || !strings.Contains(out, "has made claimable 2 tasks") || !strings.Contains(stderr, "at the rate of the queue") {
		t.Errorf("resume: %d %q %q", status, out, stderr)
	}
}
