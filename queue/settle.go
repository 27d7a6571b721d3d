package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// settle stores the outcome of a run under its claim: finish, retry or release.
// cause is why the function's context ended, if it did.
func (e *Executor) settle(r *activeRun, res result, cause error) *Run {
	ctx, row := r.ctx, r.row
	if r.completed.Load() {
		if run := e.ifCompleted(ctx, row); run != nil {
			return run
		}
		if res.failure == nil {
			res.failure = classify(errNotCommitted)
		}
	}
	f := res.failure
	if f == nil {
		if err := checkResult(res.value, e.client.cfg.MaxBytes); err != nil {
			f = classify(Discard(hiding(row, err))) // another attempt would only repeat its side effects
		}
	}
	var timeout *TimeoutError
	switch {
	case f == nil:
		return e.finish(r, Finish{Status: StatusSuccessful, ReturnValue: res.value, Errors: r.restoredErrors()}, OutcomeSucceeded, nil)
	case errors.Is(cause, ErrLeaseLost):
		return e.lost(ctx, row)
	case f.continuation != nil:
		return e.continueLater(r, f)
	case errors.Is(cause, ErrShutdown) && !f.panicked:
		return e.release(r)
	case errors.As(cause, &timeout) && f.contextEnded:
		f = timedOut(timeout.Timeout, f)
	}
	return e.fail(r, f)
}

// fail decides what follows a failed attempt: a final status, another attempt at
// the time that the task asked for, or one after the backoff.
func (e *Executor) fail(r *activeRun, f *failure) *Run {
	row := r.row
	if f.snoozed() {
		return e.retry(r, Retry{RunIn: f.reschedule.in, Refund: true, Errors: r.restoredErrors()}, f)
	}
	history := row.withError(f.record(row, e.client.now()))
	switch {
	case f.cancel:
		return e.finish(r, Finish{Status: StatusCancelled, Errors: history}, OutcomeCancelled, f)
	case f.discard, row.Attempts >= row.MaxAttempts:
		return e.finish(r, Finish{Status: StatusFailed, Errors: history}, OutcomeFailed, f)
	case f.reschedule != nil:
		return e.retry(r, Retry{Errors: history, RunAfter: clampTime(f.reschedule.at)}, f)
	}
	if d, _ := e.client.registry.lookup(row.Task); d.options.backoff != nil {
		if wait, ok := e.taskBackoff(d, row.Attempts); ok {
			return e.retry(r, Retry{Errors: history, RunIn: wait}, f)
		}
	}
	return e.retry(r, Retry{Errors: history, In: backoff(row.Attempts)}, f)
}

// taskBackoff calls the task's own Backoff function, which may panic.
func (e *Executor) taskBackoff(d definition, attempt int) (wait time.Duration, ok bool) {
	defer func() {
		if value := recover(); value != nil {
			e.log.Error("the task's Backoff function panicked; the default backoff applies", "task_path", d.name, "panic", value)
		}
	}()
	// At least a microsecond: Retry takes zero as not set.
	return max(d.options.backoff(attempt), time.Microsecond), true
}

// clampTime brings a time that a task asked for into the range that every database
// can store.
func clampTime(t time.Time) time.Time {
	if t.Before(earliestRunAfter) {
		return earliestRunAfter
	}
	if t.After(latestRunAfter) {
		return latestRunAfter
	}
	return t.UTC().Truncate(time.Microsecond)
}

// ending adds to a finish what it stores besides the outcome.
func (r *activeRun) ending(f Finish) Finish {
	f.Kept, f.Report = r.row.Keep != nil || r.hasCheckpoint(), r.unstored()
	return f
}

func (e *Executor) finish(r *activeRun, f Finish, outcome Outcome, cause *failure) *Run {
	ctx, row := r.ctx, r.row
	f = r.ending(f)
	f.Letter = e.letter(row, f)
	err := e.persist(ctx, func(ctx context.Context) (err error) {
		row.FinishedAt, err = e.store.Finish(ctx, row.Claim(), f)
		return err
	})
	if errors.Is(err, ErrTooLarge) {
		return e.finishTooLarge(r, f, err)
	}
	if err != nil {
		return e.notStored(ctx, row, err)
	}
	e.dispatchLetter(ctx, f.Letter)
	return e.finished(r, f, outcome, cause)
}

// dispatchLetter dispatches what the end of a row has enqueued. One whose insert was not
// acknowledged has no times here, and is left to the sweeper.
func (e *Executor) dispatchLetter(ctx context.Context, letter *NewRow) {
	if letter != nil && letter.Status == StatusReady {
		e.client.dispatchInserted(ctx, []*Handle{{ID: letter.ID, Row: letter.Row}})
	}
}

// finished is the run of a row whose final status is stored.
func (e *Executor) finished(r *activeRun, f Finish, outcome Outcome, cause *failure) *Run {
	row := r.row
	r.applyReports()
	row.Status, row.ReturnValue, row.LeaseExpiresAt = f.Status, f.ReturnValue, time.Time{}
	if f.Errors != nil {
		row.Errors = f.Errors
	}
	run := &Run{Row: row, Outcome: outcome}
	if cause != nil {
		run.Err = cause
	}
	return run
}

// retry makes the row READY. A row with a hard time is also dispatched for it; an
// attempt after the default backoff comes from where this one came from.
func (e *Executor) retry(r *activeRun, next Retry, cause *failure) *Run {
	ctx, row := r.ctx, r.row
	hard := next.In == 0
	next.Report = r.unstored()
	next.WillDispatch = e.client.willDispatch(row.Backend, max(next.RunIn, next.RunAfter.Sub(e.client.now())))
	err := e.persist(ctx, func(ctx context.Context) error { return e.store.Retry(ctx, row.Claim(), next) })
	switch {
	case errors.Is(err, ErrTooLarge) && next.Checkpoint != nil:
		return e.fail(r, classify(Discard(fmt.Errorf("the checkpoint of %d bytes of JSON cannot be stored: %w", len(next.Checkpoint), err))))
	case errors.Is(err, ErrTooLarge):
		return e.finishTooLarge(r, Finish{Errors: next.Errors}, err)
	}
	if err != nil {
		return e.notStored(ctx, row, err)
	}
	run := &Run{Row: e.reread(ctx, row), Outcome: OutcomeFailed, Err: cause}
	if hard {
		run.Outcome = OutcomeRescheduled
		run.DispatchErr = e.arm(ctx, run.Row)
	}
	return run
}

func (e *Executor) release(r *activeRun) *Run {
	ctx, row := r.ctx, r.row
	err := e.persist(ctx, func(ctx context.Context) error {
		if report := r.unstored(); report != nil {
			return e.reporter.ReleaseReport(ctx, row.Claim(), *report)
		}
		return e.store.Release(ctx, row.Claim())
	})
	if err != nil {
		return e.notStored(ctx, row, err)
	}
	return &Run{Row: e.reread(ctx, row), Outcome: OutcomeInterrupted, Err: ErrShutdown}
}

func (e *Executor) notStored(ctx context.Context, row *Row, err error) *Run {
	if errors.Is(err, ErrLeaseLost) {
		return e.lost(ctx, row)
	}
	return &Run{Row: row, Outcome: OutcomeUnknown, Err: err}
}

func (e *Executor) lost(ctx context.Context, row *Row) *Run {
	return &Run{Row: e.reread(ctx, row), Outcome: OutcomeLost, Err: ErrLeaseLost}
}

// reread returns the row as it is now, or as it was if it cannot be read.
func (e *Executor) reread(ctx context.Context, row *Row) *Row {
	if now, err := e.client.Get(ctx, row.ID); err == nil {
		return now
	}
	return row
}

// settleBudget is how long storing an outcome is retried. A write that the database
// did not acknowledge is repeated under the same claim, which distinguishes a finish
// that took effect from one that did not. It is longer than the 15 s for which PgBouncer
// refuses clients after a crash of the database (server_login_retry).
const settleBudget = 20 * time.Second

// persist calls write until the database has answered, or the budget is spent:
// then the error is ErrFinishUnknown.
func (e *Executor) persist(ctx context.Context, write func(context.Context) error) error {
	giveUp := time.Now().Add(min(settleBudget, e.cfg.Lease))
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := within(ctx, statementTimeout, write)
		e.client.availability.observe(err)
		if err == nil || !errors.Is(err, ErrUnavailable) {
			return err
		}
		if time.Now().Add(pause).After(giveUp) {
			return fmt.Errorf("%w: %w", ErrFinishUnknown, err)
		}
		time.Sleep(pause)
	}
}

// finishTooLarge ends a claim whose outcome f is larger than the database accepts:
// the row becomes FAILED, or CANCELLED as it asked, and says why. Another attempt
// would repeat the side effects and end in the same way. Where the error history
// is too large, only its latest records are kept.
func (e *Executor) finishTooLarge(r *activeRun, f Finish, err error) *Run {
	ctx, row := r.ctx, r.row
	what := fmt.Sprintf("the error history of %d records", len(f.Errors))
	if f.Status == StatusSuccessful {
		what = fmt.Sprintf("the return value of %d bytes of JSON", len(f.ReturnValue))
	}
	cause := classify(Discard(fmt.Errorf("%s cannot be stored: %w", what, err)))
	end, outcome := r.ending(Finish{Status: StatusFailed}), OutcomeFailed
	if f.Status == StatusCancelled {
		end.Status, outcome = StatusCancelled, OutcomeCancelled
	}
	history := f.Errors
	if history == nil {
		history = row.Errors
	}
	history = append(slices.Clone(history), cause.record(row, e.client.now()))
	for _, kept := range []int{MaxErrors, 2, 1} {
		end.Errors = history[max(0, len(history)-kept):]
		end.Letter = e.letter(row, end)
		err = e.persist(ctx, func(ctx context.Context) (err error) {
			row.FinishedAt, err = e.store.Finish(ctx, row.Claim(), end)
			return err
		})
		if !errors.Is(err, ErrTooLarge) {
			break
		}
	}
	if err != nil {
		return e.notStored(ctx, row, err)
	}
	e.dispatchLetter(ctx, end.Letter)
	return e.finished(r, end, outcome, cause)
}
