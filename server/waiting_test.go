package server

import (
	"strings"
	"testing"
)

// The command line gives the same reason for a waiting task as its page.
func TestResultSaysWhatATaskWaitsFor(t *testing.T) {
	c := newCLI(t)
	enqueue := func(args ...string) string {
		return strings.TrimSpace(c.ok(append([]string{"enqueue", "demo.echo", "1"}, args...)...))
	}
	paused := enqueue("--queue=emails", "--unique-key=order-7", "--expires=2h")
	c.ok("queues", "pause", "emails", "--reason", "the provider is down")
	later := enqueue("--run-after=2h", "--queue=slow")
	both := enqueue("--run-after=3h", "--queue=emails")
	c.ok("queues", "limit", "slow", "--starts", "1/1h")
	enqueue("--queue=slow")
	limited := enqueue("--queue=slow")
	c.ok("work")
	for id, wants := range map[string][]string{
		paused:  {"Its queue, emails, is paused by command line", "(the provider is down)", "The pause began at 20", "unique key", "order-7", "expires at"},
		later:   {"It is due in 1 h 59 min."},
		both:    {"Its queue, emails, is paused by", "It is due in 2 h 59 min."},
		limited: {"It waits for the limit of queue slow (1 of 1 starts within 1h are used)", "at the earliest"},
	} {
		out := c.ok("result", id)
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing in: %s", want, out)
			}
		}
		if !strings.HasPrefix(out, "id") {
			t.Errorf("another first line: %s", out)
		}
		if out := c.ok("result", id, "--json"); !strings.HasPrefix(out, `{"result":{"id":"`+id) || strings.Contains(out, "It is") {
			t.Error(out)
		}
	}
}

// A task of a schedule names it.
func TestResultNamesTheSchedule(t *testing.T) {
	c := newCLI(t)
	c.ok("schedules", "add", "nightly", "--task=demo.echo", "--spec=0 3 * * *")
	id := strings.TrimSpace(c.ok("schedules", "run", "nightly"))
	if out := c.ok("result", id); !strings.Contains(out, "nightly") || !strings.Contains(out, "scheduled for") {
		t.Error(out)
	}
}

// A status with many pending tasks says what they may wait for.
func TestStatusNamesPausedQueuesAndReachedLimits(t *testing.T) {
	c := newCLI(t)
	c.ok("migrate")
	c.ok("queues", "limit", "slow", "--starts", "1/1h")
	for range 2 {
		c.ok("enqueue", "demo.echo", "1", "--queue=slow")
	}
	if out := c.ok("status"); strings.Contains(out, "paused queue") || strings.Contains(out, "limit reached") {
		t.Errorf("nothing is paused or reached: %s", out)
	}
	c.ok("work")
	c.ok("queues", "pause", "emails", "--reason", "the provider is down")
	const pause, limit = "(the provider is down)", "queue slow: 1 of 1 starts within 1h are used"
	for queue, want := range map[string][2]bool{"": {true, true}, "emails": {true, false}, "slow": {false, true}, "default": {}} {
		args := []string{"status"}
		if queue != "" {
			args = append(args, "--queue="+queue)
		}
		if out := c.ok(args...); strings.Contains(out, pause) != want[0] || strings.Contains(out, limit) != want[1] || !strings.HasPrefix(out, "pending") {
			t.Errorf("of %q: %s", queue, out)
		}
	}
	if out := c.ok("status", "--json"); strings.Contains(out, "provider") {
		t.Error(out)
	}
}
