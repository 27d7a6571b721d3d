package queue

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
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
	case req.Spent(row):
		return refuse(ErrLeaseLost, 0)
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

// Holds reports whether row is RUNNING under the claim that the request asks for:
// the request was made before, and its answer was lost.
func (r *ClaimRequest) Holds(row *Row) bool {
	return row.Status == StatusRunning && row.ClaimID == r.ClaimID && r.ClaimID != uuid.Nil
}

// Spent reports whether the claim that the request asks for was made before and
// has ended. It must not be made again: a copy of the request that arrives late
// would claim a row that no process would run.
func (r *ClaimRequest) Spent(row *Row) bool {
	reopens := row.Status == StatusReady || row.Status == StatusFailed && r.AllowRetry
	return reopens && row.ClaimID == r.ClaimID && r.ClaimID != uuid.Nil
}

// PullClaimID is the claim ID of a row that a ClaimNext with this fence claims:
// the first half is the fence's, the second that of the row's own ID. Fences
// that differ only in the last bit of their first half belong together, so that a
// store can claim in two steps.
func PullClaimID(fence, id uuid.UUID) (claim uuid.UUID) {
	copy(claim[:8], fence[:8])
	copy(claim[8:], id[8:])
	return claim
}

// PullClaimIDs are the least and the greatest claim ID under a fence.
func PullClaimIDs(fence uuid.UUID) (first, last uuid.UUID) {
	for i := range last {
		last[i] = 0xff
	}
	copy(first[:8], fence[:8])
	copy(last[:8], fence[:8])
	first[7] &^= 1
	last[7] |= 1
	return first, last
}

// LostErrors is the error history of a row whose lease expired on its last
// attempt, seen at the database's time now: with a WorkerLost error added, unless
// NoteErrors left a record of that attempt.
func (r *Row) LostErrors(now time.Time) []AttemptError {
	if r.noted() {
		return r.Errors
	}
	return r.WithError(r.WorkerLost(now))
}

// noted reports whether the history of a RUNNING row holds a record of the attempt
// that runs. Attempts that are given back leave their numbers to others, so that
// the time of the claim has to be the same, too.
func (r *Row) noted() bool {
	n := len(r.Errors)
	return r.Status == StatusRunning && n > 0 && r.Errors[n-1].Attempt == r.Attempts && r.Errors[n-1].StartedAt.Equal(r.LastAttemptedAt)
}

const workerLostClass = "WorkerLost"

// WorkerLost is the error record of a row whose lease expired on its last
// attempt, seen at the database's time now.
func (r *Row) WorkerLost(now time.Time) AttemptError {
	worker := cmp.Or(r.worker(), "unknown")
	return AttemptError{
		ExceptionClassPath: workerLostClass,
		Message: fmt.Sprintf("the lease of worker %s expired at %s during attempt %d of %d, and no result was stored; the worker may be gone",
			worker, r.LeaseExpiresAt.UTC().Format(time.RFC3339), r.Attempts, r.MaxAttempts),
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
