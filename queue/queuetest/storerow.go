package queuetest

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// newRow is the row that a request becomes.
func newRow(request *queue.NewRow, now time.Time) *row {
	r := &row{Row: queue.Row{
		ID: request.ID, Status: queue.StatusReady,
		Task: request.Task, Queue: request.Queue, Backend: request.Backend, Priority: request.Priority,
		Args: slices.Clone(request.Args), Timeout: (request.Timeout + time.Millisecond - 1).Truncate(time.Millisecond),
		MaxAttempts: request.MaxAttempts, EnqueuedAt: now, RunAfter: hardTime(now, request.RunAfter, request.Delay),
		TraceContext: request.TraceContext,
		UniqueKey:    request.UniqueKey, UniqueScope: request.UniqueScope, UniqueUntil: hardTime(now, request.UniqueUntil, request.UniqueFor),
		Schedule: request.Schedule, ScheduledFor: hardTime(now, request.ScheduledFor, 0), LimitKey: request.LimitKey,
		ExpiresAt: hardTime(now, request.ExpiresAt, request.ExpiresIn), Keep: request.Keep, OnFailed: request.OnFailed,
		Group: request.Group, Completes: request.Completes, KeyID: request.KeyID,
	}}
	r.DispatchDueAt = later(now, r.RunAfter.Add(-queue.ArmWithin)) // the sweeper dispatches it
	if request.WillDispatch {
		r.DispatchDueAt = later(now, r.RunAfter).Add(queue.DispatchGrace)
	}
	r.ready(now)
	return r
}

// ready makes a row READY, and claimable unless its time is in the future.
func (r *row) ready(now time.Time) {
	r.Status, r.LeaseExpiresAt, r.counted = queue.StatusReady, time.Time{}, false
	r.hold = free
	if r.due().After(now) {
		r.hold = delayed
	}
}

// due is when a pulling worker may claim a READY row.
func (r *row) due() time.Time { return later(r.RunAfter, r.RetryAt) }

// claim starts an attempt under a new claim, which is the fence of everything that
// ends it.
func (r *row) claim(now time.Time, claimID uuid.UUID, worker string, lease time.Duration) {
	if r.Status == queue.StatusFailed { // an operator retries it
		r.Interruptions, r.DeleteAt = 0, time.Time{}
	}
	r.Status, r.hold, r.ClaimID, r.counted = queue.StatusRunning, free, claimID, false
	r.Attempts++
	r.MaxAttempts = max(r.MaxAttempts, r.Attempts)
	r.LeaseExpiresAt = now.Add(lease).Truncate(time.Microsecond)
	r.WorkerIDs = append(slices.Clip(r.WorkerIDs), worker)
	if r.StartedAt.IsZero() {
		r.StartedAt = now
	}
	r.LastAttemptedAt, r.FinishedAt, r.RetryAt = now, time.Time{}, time.Time{}
	r.DispatchError, r.DispatchTries = "", 0
}

// runsUnder reports whether a claim holds; a row that does not exist has none.
func (r *row) runsUnder(claim queue.Claim) bool {
	return r.under(claim) && r.Status == queue.StatusRunning
}

// under reports whether a claim was the latest of a row.
func (r *row) under(claim queue.Claim) bool {
	return r != nil && claim.ClaimID != uuid.Nil && r.ClaimID == claim.ClaimID
}

func (r *row) finish(now time.Time, f queue.Finish) {
	r.ReturnValue = slices.Clone(f.ReturnValue)
	if f.Errors != nil {
		r.setErrors(f.Errors)
	}
	f.Report.Apply(&r.Row)
	r.end(f.Status, now)
}

func (r *row) retry(now time.Time, retry queue.Retry) {
	if retry.Errors != nil {
		r.setErrors(retry.Errors)
	}
	if hard := hardTime(now, retry.RunAfter, retry.RunIn); !hard.IsZero() {
		r.RunAfter = hard
	}
	if retry.In > 0 {
		r.RetryAt = later(now.Add(retry.In).Truncate(time.Microsecond), r.RunAfter)
	}
	if retry.Refund {
		r.refund()
	}
	retry.Report.Apply(&r.Row)
	r.progress(retry.Checkpoint, retry.MoreAttempts)
	r.DispatchDueAt = later(now, r.RunAfter.Add(-queue.ArmWithin))
	if retry.WillDispatch {
		r.DispatchDueAt = later(now.Add(queue.LongestBackoff), r.RunAfter).Add(queue.DispatchGrace)
	}
	r.ready(now)
}

func (r *row) release(now time.Time) {
	if r.Interruptions < queue.MaxInterruptions {
		r.refund()
	}
	r.Interruptions++
	if r.Attempts >= r.MaxAttempts {
		r.LeaseExpiresAt = now // no attempt is left: Promote fails the row
		return
	}
	r.DispatchDueAt = now.Add(queue.DispatchGrace)
	r.ready(now)
}

func (r *row) unclaim(now time.Time) {
	r.refund()
	first := r.StartedAt.IsZero() || r.StartedAt.Equal(r.LastAttemptedAt)
	if r.Attempts == 0 && first { // not after a snooze, which refunds an attempt that did start
		r.StartedAt, r.LastAttemptedAt = time.Time{}, time.Time{}
	}
	r.DispatchDueAt = now.Add(queue.DispatchGrace)
	r.ready(now)
}

// refund takes the last attempt back.
func (r *row) refund() {
	r.Attempts--
	r.WorkerIDs = r.WorkerIDs[:max(0, len(r.WorkerIDs)-1)]
}

// reclaim takes a row from a claim whose lease has expired. The claim ID goes with
// it, so that the late worker does not take what follows for its own.
func (r *row) reclaim(now time.Time) {
	r.ClaimID, r.DispatchDueAt = uuid.Nil, now
	r.ready(now)
}

// loseWorker fails a row whose lease has expired with no attempt left, and returns what
// that enqueues.
func (r *row) loseWorker(now time.Time) (letter *queue.NewRow) {
	r.setErrors(r.LostErrors(now))
	letter = r.Letter()
	r.end(queue.StatusFailed, now)
	r.ClaimID = uuid.Nil
	return letter
}

// cancel ends a row without its claim, so that a function that runs does not take this
// end for its own.
func (r *row) cancel(now time.Time) {
	r.end(queue.StatusCancelled, now)
	r.ClaimID = uuid.Nil
}

// expire cancels a row that was not started in time.
func (r *row) expire(now time.Time) {
	r.setErrors(queue.ExpiredErrors(now))
	r.cancel(now)
}

// end ends a row, and drops what is not to be kept of it.
func (r *row) end(status queue.Status, now time.Time) {
	r.DeleteAt = r.KeptUntil(status, now)
	r.Status, r.hold, r.FinishedAt, r.LeaseExpiresAt = status, free, now, time.Time{}
	if status != queue.StatusFailed {
		r.Checkpoint = nil
	}
	r.drop()
}

// drop removes what a row with a Keep of 0 has not after its end.
func (r *row) drop() {
	if r.Dropped() {
		r.Args, r.ReturnValue, r.Checkpoint = queue.DroppedArgs(r.Args), nil, nil
	}
}

func (r *row) setErrors(history []queue.AttemptError) {
	r.Errors = slices.Clone(history)
	r.ErrorGroup, r.ErrorText = queue.LastError(history)
}

// hardTime is an absolute time, or one that is some time from now, or zero.
func hardTime(now, absolute time.Time, in time.Duration) time.Time {
	if absolute.IsZero() && in > 0 {
		absolute = now.Add(in)
	}
	return absolute.UTC().Truncate(time.Microsecond)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// copied is a row for the caller, who may change it.
func (r *row) copied() *queue.Row {
	c := r.Row
	c.Args, c.ReturnValue, c.Checkpoint = slices.Clone(c.Args), slices.Clone(c.ReturnValue), slices.Clone(c.Checkpoint)
	c.Errors, c.WorkerIDs = slices.Clone(c.Errors), slices.Clone(c.WorkerIDs)
	return &c
}

func copied(rows []*row) []*queue.Row {
	var list []*queue.Row
	for _, r := range rows {
		list = append(list, r.copied())
	}
	return list
}

// light is copied without what may be long.
func (r *row) light() *queue.Row {
	c := r.Row
	c.Args, c.ReturnValue, c.Errors, c.Checkpoint = nil, nil, nil, nil
	c.WorkerIDs = slices.Clone(c.WorkerIDs)
	return &c
}
