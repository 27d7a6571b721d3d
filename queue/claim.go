package queue

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// What follows is the protocol's side of a claim that did not come about, kept
// in one place for all stores. The claim itself is one statement of theirs.

// WhyNotClaimed says why row, as read at the database's time now, cannot be
// claimed as req asks: a *NotClaimedError, or nil if it can be (it has changed
// since the claim missed, so the store claims again). For ErrWorkerLost the
// store makes the row FAILED, under the claim and attempts read, before it
// returns the error.
func WhyNotClaimed(row *Row, req ClaimRequest, now time.Time) error {
	refuse := func(reason error, wait time.Duration) error {
		return &NotClaimedError{Reason: reason, Row: row, Wait: wait}
	}
	switch {
	case row.Status == StatusFailed && req.AllowRetry:
		if !slices.Contains(req.Tasks, row.Task) {
			return refuse(ErrUnknownTask, 0)
		}
		return nil
	case row.Status.Final():
		return refuse(ErrFinal, 0)
	case row.Status == StatusRunning && row.LeaseExpiresAt.After(now):
		return refuse(ErrLeased, row.LeaseExpiresAt.Sub(now))
	case row.Status == StatusReady && row.RunAfter.After(now.Add(req.Early)):
		return refuse(ErrNotDue, row.RunAfter.Sub(now))
	case row.Attempts >= row.MaxAttempts:
		return refuse(ErrWorkerLost, 0)
	case !slices.Contains(req.Tasks, row.Task):
		return refuse(ErrUnknownTask, 0)
	}
	return nil
}

// WorkerLost is the error record of a row whose lease expired on its last
// attempt, seen at the database's time now.
func (r *Row) WorkerLost(now time.Time) AttemptError {
	worker := cmp.Or(r.worker(), "unknown")
	return AttemptError{
		ExceptionClassPath: "WorkerLost",
		Message: fmt.Sprintf("worker %s was lost during attempt %d of %d: its lease ended at %s",
			worker, r.Attempts, r.MaxAttempts, r.LeaseExpiresAt.UTC().Format(time.RFC3339)),
		Attempt:   r.Attempts,
		At:        now.UTC(),
		StartedAt: r.LastAttemptedAt,
		WorkerID:  r.worker(),
	}
}

// worker is who has, or had, the latest attempt.
func (r *Row) worker() string {
	if n := len(r.WorkerIDs); n > 0 {
		return r.WorkerIDs[n-1]
	}
	return ""
}
