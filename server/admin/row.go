package admin

import (
	"fmt"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// rowLine is a task in a list.
type rowLine struct {
	*queue.Row
	URL    string
	State  state
	Flags  []string // what is wrong with it beyond its state
	Args   listedArgs
	Report *taskProgress // how far it is, while it runs
	Said   string        // its note, while it runs
}

// state is the state of a task in a word or two, and since or until when.
type state struct {
	Kind string // class of its colour and name of its icon: ready, delayed, running, lost, …
	Name string // READY, RUNNING, …
	Verb string // what the time means
	At   time.Time
	Runs string // how long it has been running, as a clock; empty: it is not
}

// Start is when it began, for the browser, which counts on.
func (s state) Start() string { return s.At.UTC().Format(time.RFC3339Nano) }

// clock is a length of time as a clock shows it: 0:05, 12:30, 1:02:03. It is the same in
// every language, and the page's script counts on in the same way.
func clock(d time.Duration) string {
	seconds := int(max(0, d) / time.Second)
	if seconds < 3600 {
		return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
}

// stateOf returns the state of a task.
func stateOf(row *queue.Row, now time.Time) state {
	s := state{Name: string(row.Status), At: row.FinishedAt, Verb: "ended"}
	switch row.Status {
	case queue.StatusReady:
		s.Kind, s.Verb, s.At = "ready", "waiting since", row.EnqueuedAt
		due := api.DueAt(row)
		if due.After(now) {
			s.Kind, s.Verb = "delayed", "due"
		}
		if !due.IsZero() {
			s.At = due
		}
	case queue.StatusRunning:
		s.Kind, s.Verb, s.At = "running", "started", row.LastAttemptedAt
		if row.LeaseExpiresAt.Before(now) {
			s.Kind, s.Verb, s.At = "lost", "worker lost", row.LeaseExpiresAt
			break
		}
		s.Runs = clock(now.Sub(s.At))
	case queue.StatusSuccessful:
		s.Kind = "successful"
	case queue.StatusFailed:
		s.Kind = "failed"
	default:
		s.Kind = "cancelled"
	}
	return s
}

// flags returns problems of a task that its state does not show.
func (h *handler) flags(row *queue.Row, now time.Time) (flags []string) {
	if row.Status.Final() {
		return nil
	}
	if !h.registered(row.Task) {
		flags = append(flags, "name not registered here")
	}
	if row.Status == queue.StatusReady && !row.DispatchDueAt.IsZero() && !row.DispatchDueAt.After(now) {
		flags = append(flags, "stranded")
	}
	if row.Parked() {
		flags = append(flags, "queue paused")
	}
	if row.WaitsForLimit() {
		flags = append(flags, "waits for a limit")
	}
	if row.DispatchError != "" {
		flags = append(flags, "ticket refused")
	}
	return flags
}

// Short is the end of the ID, which differs most between tasks of the same time.
func (l rowLine) Short() string { return "…" + l.ID.String()[24:] }

func (h *handler) rowLines(rows []*queue.Row, now time.Time) []rowLine {
	lines := make([]rowLine, len(rows))
	for i, row := range rows {
		lines[i] = rowLine{Row: row, URL: h.link("/tasks/" + row.ID.String()), State: stateOf(row, now), Flags: h.flags(row, now)}
		if row.Status != queue.StatusRunning {
			continue
		}
		if row.Progress != nil {
			lines[i].Report = &taskProgress{*row.Progress, api.Progress(*row.Progress)}
		}
		if !h.Redact(row.Task) {
			lines[i].Said = clip(row.Note, 240)
		}
	}
	return lines
}

// LastError is why it failed last, or why its ticket was refused, cut for a list.
func (l rowLine) LastError() string {
	if l.DispatchError != "" && !l.Status.Final() {
		return clip(l.DispatchError, 240)
	}
	return clip(l.ErrorText, 240)
}

// why explains in a sentence or two the state of a task, and what happens next. use are
// the limits that concern it.
func (h *handler) why(row *queue.Row, use []queue.LimitUse, now time.Time) string {
	tries := fmt.Sprintf("attempt %d of %d", row.Attempts, row.MaxAttempts)
	took := span(row.FinishedAt.Sub(row.LastAttemptedAt))
	if row.Parked() {
		return api.WhyParked(row)
	}
	switch s := stateOf(row, now); s.Kind {
	case "ready":
		return h.whyReady(row, use, now)
	case "delayed":
		return api.WhyDelayed(row, now)
	case "running":
		return fmt.Sprintf("%s is running. Its claim expires in %s unless the worker renews it.", capitalized(tries), span(row.LeaseExpiresAt.Sub(now)))
	case "lost":
		return fmt.Sprintf("No result of %s was stored, and its lease expired %s ago: the worker may be gone. The next delivery, worker or sweep takes it back.",
			tries, span(now.Sub(row.LeaseExpiresAt)))
	case "successful":
		return fmt.Sprintf("Done on %s, in %s.", tries, took)
	case "failed":
		if row.Dropped() {
			return "It FAILED. Its retention dropped its arguments when it ended, so it cannot be retried. " + deletion(row, now)
		}
		if row.Attempts < row.MaxAttempts {
			return fmt.Sprintf("It FAILED for good on %s: its error was permanent, or it was given up. Retried as it is, it fails again.", tries)
		}
		if row.MaxAttempts == 1 {
			return "It FAILED: its only attempt is used. Retry gives it one more."
		}
		return fmt.Sprintf("It FAILED: all %s are used. Retry gives it one more.", count(row.MaxAttempts, "attempt"))
	default:
		if n := len(row.Errors); n > 0 && row.Errors[n-1].ExceptionClassPath == "Expired" {
			return "It expired: it was not started before its expires_at, so it was cancelled and will not run. Enqueue it again if it should."
		}
		return "It was cancelled and will not run again. Enqueue it again if it should."
	}
}

// deletion says when a task that has ended is deleted.
func deletion(row *queue.Row, now time.Time) string {
	if row.DeleteAt.After(now) {
		return fmt.Sprintf("A sweep deletes it in %s.", span(row.DeleteAt.Sub(now)))
	}
	return "The next sweep deletes it."
}

// whyReady explains what a task that is due waits for.
func (h *handler) whyReady(row *queue.Row, use []queue.LimitUse, now time.Time) string {
	limited := api.WhyLimited(row, use)
	waits := span(now.Sub(stateOf(row, now).At))
	switch {
	case !h.registered(row.Task):
		return "It cannot run: this name is not registered here. It waits until a program that registers it is deployed."
	case limited != "":
		return limited
	case row.DispatchError != "":
		return "It has been waiting for " + waits + ": its ticket could not be created. The sweeper retries."
	case row.DispatchDueAt.After(now):
		return fmt.Sprintf("It has been waiting for %s to be claimed. If it is not within %s, the sweeper dispatches it again.", waits, span(row.DispatchDueAt.Sub(now)))
	default:
		return fmt.Sprintf("It is stranded: it has been waiting for %s and should have been claimed %s ago. The sweeper dispatches it again.", waits, span(now.Sub(row.DispatchDueAt)))
	}
}
