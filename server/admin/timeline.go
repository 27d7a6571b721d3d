package admin

import (
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// Bounds of what a task's page shows of a long history, unless all is asked for.
const (
	attemptsShown = 30
	stacksShown   = 5
	// attemptsMost bounds it in any case: only the latest errors are kept.
	attemptsMost = 200
)

// attempt is one line of a task's timeline.
type attempt struct {
	Number  int
	Worker  string
	Started time.Time // zero: not known
	Ended   time.Time // zero: not known, or it has not
	Kind    string    // successful, failed, running, lost, cancelled, ready (not known)
	Outcome lang.Text // the attempt, and how it ended
	Type    string    // of the error
	Message string
	Stack   string
	Long    bool // a stack is there, and not shown
}

// attempts is the timeline of a task, the latest attempt first, and how many
// are left out. Workers come from the row's list of workers, outcomes from its stored
// errors.
func attempts(row *queue.Row, whole bool, now time.Time) (list []attempt, lost int) {
	failures := make(map[int]queue.AttemptError, len(row.Errors))
	for _, e := range row.Errors {
		failures[e.Attempt] = e
	}
	most := attemptsShown
	if whole {
		most = attemptsMost
	}
	for n := row.Attempts; n >= 1; n-- {
		if len(list) == most {
			return list, n
		}
		a := attempt{Number: n, Kind: "ready"}
		if n <= len(row.WorkerIDs) {
			a.Worker = row.WorkerIDs[n-1]
		}
		failure, failed := failures[n]
		if n == row.Attempts {
			a.Started = row.LastAttemptedAt
			a.last(row, failed, now)
		}
		if failed {
			a.failed(failure)
		}
		a.Outcome = a.outcome()
		if a.Stack != "" && !whole && len(list) >= stacksShown {
			a.Stack, a.Long = "", true
		}
		list = append(list, a)
	}
	return list, 0
}

// last is what the row itself says of its latest attempt.
func (a *attempt) last(row *queue.Row, failed bool, now time.Time) {
	switch {
	case row.Status == queue.StatusRunning && !failed && row.LeaseExpiresAt.Before(now):
		a.Kind = "lost"
	case row.Status == queue.StatusRunning && !failed:
		a.Kind = "running"
	case row.Status == queue.StatusSuccessful:
		a.Kind, a.Ended = "successful", row.FinishedAt
	case row.Status == queue.StatusCancelled && !failed:
		a.Kind, a.Ended = "cancelled", row.FinishedAt
	}
}

// failed is what the record of a failure says.
func (a *attempt) failed(e queue.AttemptError) {
	a.Kind, a.Ended = "failed", e.At
	if e.ExceptionClassPath == "WorkerLost" {
		a.Kind = "lost"
	}
	if !e.StartedAt.IsZero() {
		a.Started = e.StartedAt
	}
	if e.WorkerID != "" {
		a.Worker = e.WorkerID
	}
	a.Type, a.Message = e.ExceptionClassPath, e.Message
	if strings.TrimSpace(e.Traceback) != strings.TrimSpace(e.Message) { // a chain of one says nothing more
		a.Stack = e.Traceback
	}
}

// outcome names the attempt, says how it ended and, if that is known, after how long.
func (a *attempt) outcome() lang.Text {
	timed := !a.Started.IsZero() && !a.Ended.IsZero()
	took := a.Ended.Sub(a.Started)
	switch a.Kind {
	case "running":
		return lang.M("Attempt %d is running", a.Number)
	case "successful":
		return either(timed, lang.M("Attempt %d succeeded after %s", a.Number, took), lang.M("Attempt %d succeeded", a.Number))
	case "cancelled":
		return either(timed, lang.M("Attempt %d was cancelled after %s", a.Number, took), lang.M("Attempt %d was cancelled", a.Number))
	case "failed":
		return either(timed, lang.M("Attempt %d failed after %s", a.Number, took), lang.M("Attempt %d failed", a.Number))
	case "lost":
		if a.Ended.IsZero() {
			return lang.M("Attempt %d: its lease expired", a.Number)
		}
		return either(timed, lang.M("Attempt %d ended without a result after %s", a.Number, took), lang.M("Attempt %d ended without a result", a.Number))
	}
	return lang.M("Attempt %d: its outcome is not stored", a.Number)
}
