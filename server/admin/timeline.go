package admin

import (
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
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
	Took    string
	Kind    string // successful, failed, running, lost, cancelled, ready (not known)
	Outcome string
	Type    string // of the error
	Message string
	Stack   string
	Long    bool // a stack is there, and not shown
}

// attempts is the timeline of a task, the latest attempt first, and how many
// are left out. Workers come from the row's list of workers, outcomes from its stored
// errors.
func attempts(row *queue.Row, whole bool) (list []attempt, lost int) {
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
		a := attempt{Number: n, Kind: "ready", Outcome: "how it ended is not stored"}
		if n <= len(row.WorkerIDs) {
			a.Worker = row.WorkerIDs[n-1]
		}
		failure, failed := failures[n]
		if n == row.Attempts {
			a.Started = row.LastAttemptedAt
			a.last(row, failed)
		}
		if failed {
			a.failed(failure)
		}
		if !a.Started.IsZero() && !a.Ended.IsZero() {
			a.Took = span(a.Ended.Sub(a.Started))
		}
		if a.Stack != "" && !whole && len(list) >= stacksShown {
			a.Stack, a.Long = "", true
		}
		list = append(list, a)
	}
	return list, 0
}

// last is what the row itself says of its latest attempt.
func (a *attempt) last(row *queue.Row, failed bool) {
	switch {
	case row.Status == queue.StatusRunning && !failed:
		a.Kind, a.Outcome = "running", "is running"
	case row.Status == queue.StatusSuccessful:
		a.Kind, a.Outcome, a.Ended = "successful", "succeeded", row.FinishedAt
	case row.Status == queue.StatusCancelled && !failed:
		a.Kind, a.Outcome, a.Ended = "cancelled", "was cancelled", row.FinishedAt
	}
}

// failed is what the record of a failure says.
func (a *attempt) failed(e queue.AttemptError) {
	a.Kind, a.Outcome, a.Ended = "failed", "failed", e.At
	if e.ExceptionClassPath == "WorkerLost" {
		a.Kind, a.Outcome = "lost", "ended without a result"
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
