package admin

import (
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
	"github.com/claimcheck-go/claimcheck/server/internal/waiting"
)

// why explains in a sentence or two the state of a task, and what happens next. use are
// the limits that concern it.
func (h *handler) why(row *queue.Row, s state, use []queue.LimitUse, now time.Time) lang.Text {
	if row.Parked() {
		return waiting.Parked(row)
	}
	switch s.Kind {
	case "ready":
		return h.whyReady(row, s, use, now)
	case "delayed":
		return waiting.Delayed(row, now)
	case "running":
		return lang.M("Attempt %d of %d is running. Its lease expires in %s unless renewed.", row.Attempts, row.MaxAttempts, row.LeaseExpiresAt.Sub(now))
	case "lost":
		return lang.M("Attempt %d of %d has no result, and its lease expired %s ago: the worker may have stopped. The next delivery, worker or sweep takes the task over.",
			row.Attempts, row.MaxAttempts, now.Sub(row.LeaseExpiresAt))
	case "successful":
		return lang.M("Attempt %d of %d succeeded after %s.", row.Attempts, row.MaxAttempts, row.FinishedAt.Sub(row.LastAttemptedAt))
	case "failed":
		return whyFailed(row, now)
	}
	if n := len(row.Errors); n > 0 && row.Errors[n-1].ExceptionClassPath == "Expired" {
		return lang.M("It expired: it was not started before its expires_at, so it was cancelled and will not run. Enqueue it again if it should.")
	}
	return lang.M("It was cancelled and will not run again. Enqueue it again if it should.")
}

// whyFailed explains what has become of a task that has FAILED, and whether a retry helps.
func whyFailed(row *queue.Row, now time.Time) lang.Text {
	switch {
	case row.Dropped() && row.DeleteAt.After(now):
		return lang.M("It failed. Its retention setting dropped its arguments at its end, so it cannot be retried. A sweep deletes it in %s.", row.DeleteAt.Sub(now))
	case row.Dropped():
		return lang.M("It failed. Its retention setting dropped its arguments at its end, so it cannot be retried. The next sweep deletes it.")
	case row.Attempts < row.MaxAttempts:
		return lang.M("It failed permanently on attempt %d of %d: its error was permanent, or it was given up. A retry without a fix fails again.", row.Attempts, row.MaxAttempts)
	case row.MaxAttempts == 1:
		return lang.M("It failed: its only attempt is used. A retry gives it one more.")
	}
	return lang.M("It failed: all %d attempts are used. A retry gives it one more.", row.MaxAttempts)
}

// whyReady explains what a task that is due waits for.
func (h *handler) whyReady(row *queue.Row, s state, use []queue.LimitUse, now time.Time) lang.Text {
	limited := waiting.Limited(row, use)
	waits := now.Sub(s.At)
	switch {
	case !h.registered(row.Task):
		return lang.M("It cannot run: its name is not registered here. It waits until a program that registers it is deployed.")
	case !limited.IsEmpty():
		return limited
	case row.DispatchError != "":
		return lang.M("It has been waiting for %s: its ticket could not be created. The sweeper retries.", waits)
	case row.DispatchDueAt.After(now):
		return lang.M("It has been waiting for %s. If it is not claimed within %s, the sweeper dispatches it again.", waits, row.DispatchDueAt.Sub(now))
	}
	return lang.M("It is stranded: it has been waiting for %s and should have been claimed %s ago. The sweeper dispatches it again.", waits, now.Sub(row.DispatchDueAt))
}
