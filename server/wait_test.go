package server

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// A task without a function here is stored, and not waited for.
func TestEnqueueWaitOfADeclaredTask(t *testing.T) {
	t.Parallel()
	cfg := appConfig(t, queue.Declare[string, string]("declared", queue.Alias("old.name")))
	status, stdout, stderr := runProgram(t, cfg, "enqueue", "declared", `"x"`, "--wait")
	if status != 1 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "the task declared has no function in this process") ||
		!strings.Contains(stderr, "Handle") || !strings.Contains(stderr, "Config.Setup") {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
	id := strings.TrimSpace(stdout)
	if status, stdout, stderr := runProgram(t, cfg, "result", id); status != 0 || !strings.Contains(stdout, "READY") {
		t.Errorf("the row is not stored: status %d\n%s%s", status, stdout, stderr)
	}
}

// A wait ends where only an operator can end it.
func TestEnqueueWaitInAPausedQueue(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	c.ok("migrate")
	c.ok("queues", "pause", "default")
	status, stdout, stderr := c.call("", "enqueue", "demo.echo", "1", "--wait")
	if status != 1 || !strings.Contains(stderr, "not run: queue default is paused") || !strings.Contains(stderr, "queues resume default") {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
	c.ok("queues", "resume", "default")
	c.ok("run", strings.TrimSpace(stdout)) // its row is stored
}

// Every refused claim is followed by a pause, so that the wait is no busy loop.
func TestEveryRefusedClaimIsFollowedByAPause(t *testing.T) {
	t.Parallel()
	for _, reason := range []error{queue.ErrFinal, queue.ErrLeased, queue.ErrLocked, queue.ErrNotDue, queue.ErrWorkerLost, queue.ErrLeaseLost} {
		refused := &queue.NotClaimedError{Reason: reason, Row: &queue.Row{Task: "greet"}}
		begun := time.Now()
		if err := waitAfter(t.Context(), refused); err != nil || time.Since(begun) < 5*time.Millisecond {
			t.Errorf("%v: %v after %s", reason, err, time.Since(begun))
		}
		ended, end := context.WithCancel(t.Context())
		end()
		if err := waitAfter(ended, refused); !errors.Is(err, errInterrupted) {
			t.Errorf("%v, interrupted: %v", reason, err)
		}
	}
	limited := &queue.NotClaimedError{Reason: queue.ErrLimited, Row: &queue.Row{Task: "greet"}}
	begun := time.Now()
	if err := waitAfter(t.Context(), limited); err != nil || time.Since(begun) < time.Second {
		t.Errorf("over a limit: %v after %s", err, time.Since(begun))
	}
	if err := waitAfter(t.Context(), queue.ErrBusy); !errors.Is(err, queue.ErrBusy) {
		t.Error(err)
	}
	if err := waitAfter(t.Context(), nil); err != nil {
		t.Error(err)
	}
}
