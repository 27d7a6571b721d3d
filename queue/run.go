package queue

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"
)

// Outcome is how the run of a claimed row ended.
type Outcome string

// The outcomes. What became of the row stands in Run.Row.Status.
const (
	OutcomeSucceeded Outcome = "succeeded"
	// OutcomeFailed: READY again for another attempt, or FAILED.
	OutcomeFailed Outcome = "failed"
	// OutcomeCancelled: the task asked for it.
	OutcomeCancelled Outcome = "cancelled"
	// OutcomeRescheduled: READY for the time that the task asked for; if
	// Run.DispatchErr is set, it could not be dispatched for it.
	OutcomeRescheduled Outcome = "rescheduled"
	// OutcomeInterrupted: the process stops, and the claim was given back (Release).
	OutcomeInterrupted Outcome = "interrupted"
	// OutcomeAbandoned: the function did not return in time; the row stays
	// RUNNING until its lease is over.
	OutcomeAbandoned Outcome = "abandoned"
	// OutcomeLost: the claim was lost while it ran, and nothing was written.
	// Run.Row is the row as somebody else left it.
	OutcomeLost Outcome = "lost"
	// OutcomeUnknown: the database did not say whether the end was stored.
	OutcomeUnknown Outcome = "unknown"
)

// Run is one run of a claimed row.
type Run struct {
	Row         *Row // as it is after the run
	Outcome     Outcome
	Err         error // why the attempt failed, or why its end was not stored
	DispatchErr error
	Duration    time.Duration // of the function and of storing its result
}

// run calls the function of a claimed row and settles the row. The lease began
// no earlier than since.
func (e *Executor) run(ctx context.Context, row *Row, since time.Time) *Run {
	if hook := e.client.cfg.Hooks.Running; hook != nil {
		ctx = hook(ctx, row)
	}
	run := e.execute(ctx, row, since)
	if hook := e.client.cfg.Hooks.Finished; hook != nil {
		hook(ctx, run)
	}
	return run
}

// call is run between its hooks.
func (e *Executor) execute(ctx context.Context, row *Row, since time.Time) *Run {
	// The claim names only what is registered, so the lookup cannot miss.
	d, _ := e.client.registry.lookup(row.Task)
	timeout := e.timeout(row)
	r := &activeRun{executor: e, claim: row.Claim(), errors: row.Errors, abandon: make(chan struct{})}
	taskCtx, cancel := context.WithCancelCause(withTask(ctx, r, row))
	defer cancel(nil)
	r.cancel = cancel
	if timeout > 0 {
		var stop context.CancelFunc
		taskCtx, stop = context.WithTimeoutCause(taskCtx, timeout, &TimeoutError{Timeout: timeout})
		defer stop()
	}
	e.register(r)
	defer e.unregister(r)
	e.heartbeater.add(r.claim, since, cancel)
	defer e.heartbeater.remove(r.claim)

	if hook := e.client.cfg.Hooks.Started; hook != nil {
		hook(ctx, row)
	}
	started := time.Now()
	res, returned := e.await(taskCtx, ctx, r, row, invoke(taskCtx, d, row), timeout)
	e.freeSlot(r, time.Since(started))
	if !returned {
		return e.abandoned(ctx, row, time.Since(started), context.Cause(taskCtx))
	}
	run := e.settled(ctx, r, row, res, context.Cause(taskCtx))
	run.Duration = time.Since(started)
	e.logRun(ctx, run)
	return run
}

// timeoutRecordDelay is how long after its time limit a function may return without its
// timeout having been noted under the claim.
const timeoutRecordDelay = 100 * time.Millisecond

// await returns the result of a function, or false for one that does not heed its
// context: long after its time limit, or when Shutdown no longer waits for it.
func (e *Executor) await(taskCtx, ctx context.Context, r *activeRun, row *Row, done <-chan result, timeout time.Duration) (result, bool) {
	var late, overdue <-chan time.Time
	if timeout > 0 {
		late, overdue = time.After(timeout+timeoutRecordDelay), time.After(timeout+e.cfg.Lease)
	}
	for {
		select {
		case res := <-done:
			return res, true
		case <-late:
			var cause *TimeoutError
			if errors.As(context.Cause(taskCtx), &cause) {
				e.recordTimeout(ctx, r, row, timeout)
			}
		case <-overdue:
			return result{}, false
		case <-r.abandon:
			return result{}, false
		}
	}
}

// recordTimeout stores that the attempt has timed out, while its function goes on:
// should that never return, the row says what happened once its lease expires. It
// does not wait for the database. What ends the claim writes its own history.
func (e *Executor) recordTimeout(ctx context.Context, r *activeRun, row *Row, timeout time.Duration) {
	r.timeoutRecorded.Store(true)
	history := row.withError(notReturned(timeout).record(row, time.Now()))
	go func() {
		err := e.persist(ctx, func(ctx context.Context) error { return e.store.NoteErrors(ctx, r.claim, history) })
		if err != nil && !errors.Is(err, ErrLeaseLost) {
			e.log.WarnContext(ctx, "could not store that a task has timed out, while its function goes on",
				"task_id", row.ID, "task_path", row.Task, "attempt", row.Attempts, "error", err)
		}
	}()
}

// abandoned is the run of a function that does not heed its context. Its claim
// is no longer renewed, so it runs out, and its finish will not be written.
func (e *Executor) abandoned(ctx context.Context, row *Row, after time.Duration, cause error) *Run {
	e.log.ErrorContext(ctx, "task does not return though its context has ended; its claim is left to run out",
		"task_id", row.ID, "task_path", row.Task, "attempt", row.Attempts, "cause", cause)
	return &Run{Row: row, Outcome: OutcomeAbandoned, Err: cause, Duration: after}
}

func (e *Executor) timeout(row *Row) time.Duration {
	if d := e.client.timeout(row); d > 0 {
		return d
	}
	return e.cfg.Timeout
}

// result is how one call of a task's function ended.
type result struct {
	value   json.RawMessage
	failure *failure // nil when it returned a value
}

// errGoexit is the value of the PanicError for runtime.Goexit, which ends a
// function without a panic and without a return.
var errGoexit = errors.New("the task called runtime.Goexit (or FailNow of package testing)")

// invoke runs the function in a goroutine of its own, since Goexit must not
// take the caller's along and since a caller may have to go on before a function
// that does not heed its context has returned. What an error means is found out
// there too: its methods are the task's code as well, and may panic. The channel
// gets one result.
func invoke(ctx context.Context, d definition, row *Row) <-chan result {
	done := make(chan result, 1)
	if row.Invalid != nil {
		done <- result{failure: notCalled(row)}
		return done
	}
	go func() {
		returned := false
		var r result
		defer func() {
			if !returned {
				value := recover()
				if value == nil {
					value = errGoexit
				}
				r = result{failure: classify(&PanicError{Value: value, Stack: debug.Stack()})}
			}
			done <- r
		}()
		value, err := d.run(ctx, row.Args)
		r = result{value: value}
		if err != nil {
			r.failure = classify(err)
		}
		returned = true
	}()
	return done
}

// logRun writes the one line that each run leaves in the log.
func (e *Executor) logRun(ctx context.Context, run *Run) {
	var f *failure
	errors.As(run.Err, &f)
	level, message := runLine(run, f)
	if !e.log.Enabled(ctx, level) {
		return
	}
	row := run.Row
	attrs := []slog.Attr{
		slog.Any("task_id", row.ID), slog.String("task_path", row.Task), slog.String("queue_name", row.Queue),
		slog.Int("attempt", row.Attempts), slog.Int("max_attempts", row.MaxAttempts),
		slog.String("status", string(row.Status)), slog.Int64("duration_ms", run.Duration.Milliseconds()),
	}
	switch {
	case f != nil:
		attrs = append(attrs, slog.String("error_class", f.class), slog.String("error", f.text))
		if f.panicked {
			attrs = append(attrs, slog.String("stack", f.trace))
		}
	case run.Err != nil:
		attrs = append(attrs, slog.Any("error", run.Err))
	}
	if run.Outcome == OutcomeRescheduled {
		attrs = append(attrs, slog.Time("run_after", row.RunAfter))
	}
	e.log.LogAttrs(ctx, level, message, attrs...)
}

// runLine says what became of a run, and how much that matters; f is the
// failure of its function, if it failed.
func runLine(run *Run, f *failure) (slog.Level, string) {
	switch run.Outcome {
	case OutcomeSucceeded:
		return slog.LevelInfo, "task succeeded"
	case OutcomeFailed:
		if run.Row.Status == StatusFailed {
			return slog.LevelError, "task failed; no attempt is left, or the error is permanent"
		}
		return slog.LevelWarn, "task failed; it will be tried again"
	case OutcomeCancelled:
		return slog.LevelInfo, "task cancelled itself"
	case OutcomeRescheduled:
		if f != nil && f.snoozed() {
			return slog.LevelInfo, "task runs again at the time it asked for"
		}
		return slog.LevelWarn, "task runs again at the time it asked for"
	case OutcomeInterrupted:
		return slog.LevelInfo, "task interrupted; its attempt is given back"
	default:
		return slog.LevelError, "task ended, but its result was not stored: " + string(run.Outcome)
	}
}
