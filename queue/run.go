package queue

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"
)

// Outcome is how the run of a claimed row ended. [Run].Row.Status is the new state of
// the row.
type Outcome string

// The outcomes.
const (
	OutcomeSucceeded Outcome = "succeeded"
	// OutcomeFailed: READY again for another attempt, or FAILED.
	OutcomeFailed Outcome = "failed"
	// OutcomeCancelled: the task asked for it.
	OutcomeCancelled Outcome = "cancelled"
	// OutcomeRescheduled: READY for the time that the task asked for ([RetryAt],
	// [Snooze], [Backoff]). If Run.DispatchErr is set, it could not be dispatched
	// for that time.
	OutcomeRescheduled Outcome = "rescheduled"
	// OutcomeInterrupted: the process is stopping, and the claim was released
	// without counting the attempt.
	OutcomeInterrupted Outcome = "interrupted"
	// OutcomeAbandoned: the function did not return in time; the row stays
	// RUNNING until its lease expires.
	OutcomeAbandoned Outcome = "abandoned"
	// OutcomeLost: the claim was lost while the function ran, and nothing was
	// written. Run.Row is the row as another claim left it.
	OutcomeLost Outcome = "lost"
	// OutcomeUnknown: it is not known whether the outcome was stored.
	OutcomeUnknown Outcome = "unknown"
)

// Run is one run of a claimed row.
type Run struct {
	Row         *Row // as it is after the run
	Outcome     Outcome
	Err         error         // why the attempt failed, or why its outcome was not stored
	DispatchErr error         // why a rescheduled row could not be dispatched
	Duration    time.Duration // of the function and of storing its outcome
}

// run calls the function of a claimed row, stores its outcome and calls the
// hooks. The lease began no earlier than since.
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

// execute is run between its hooks.
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

// timeoutRecordDelay is how long after its timeout a function may return before
// the timeout is recorded on its row.
const timeoutRecordDelay = 100 * time.Millisecond

// await returns the result of a function, or false for one that ignores its
// context: a lease after its timeout, or when Shutdown no longer waits for it.
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

// recordTimeout stores that the attempt has timed out while its function continues:
// if the function never returns, the row says what happened once its lease
// expires. It does not wait for the database. Whatever ends the claim writes its
// own history.
func (e *Executor) recordTimeout(ctx context.Context, r *activeRun, row *Row, timeout time.Duration) {
	r.timeoutRecorded.Store(true)
	history := row.withError(notReturned(timeout).record(row, time.Now()))
	go func() {
		err := e.persist(ctx, func(ctx context.Context) error { return e.store.NoteErrors(ctx, r.claim, history) })
		if err != nil && !errors.Is(err, ErrLeaseLost) {
			e.log.WarnContext(ctx, "timeout could not be recorded on the row; the function has not returned",
				"task_id", row.ID, "task_path", row.Task, "attempt", row.Attempts, "error", err)
		}
	}()
}

// abandoned is the run of a function that ignores its context. Its claim is no
// longer renewed, so it expires, and no outcome will be written under it.
func (e *Executor) abandoned(ctx context.Context, row *Row, after time.Duration, cause error) *Run {
	e.log.ErrorContext(ctx, "task has not returned after its context ended; its claim expires with its lease",
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

// invoke runs the function in its own goroutine, since Goexit must not end the
// caller's, and since the caller may have to go on before a function that ignores
// its context has returned. Errors are classified there too: their methods are the
// task's code as well, and may panic. The channel receives one result.
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

// logRun writes the one log line of a run.
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

// runLine is the level and the message of a run's log line. f is the failure of its
// function, if it failed.
func runLine(run *Run, f *failure) (slog.Level, string) {
	switch run.Outcome {
	case OutcomeSucceeded:
		return slog.LevelInfo, "task succeeded"
	case OutcomeFailed:
		if run.Row.Status == StatusFailed {
			return slog.LevelError, "task failed; no attempt is left, or the error is permanent"
		}
		return slog.LevelWarn, "task failed; it will be retried"
	case OutcomeCancelled:
		return slog.LevelInfo, "task cancelled itself"
	case OutcomeRescheduled:
		if f != nil && f.snoozed() {
			return slog.LevelInfo, "task runs again at the time it asked for"
		}
		return slog.LevelWarn, "task runs again at the time it asked for"
	case OutcomeInterrupted:
		return slog.LevelInfo, "task interrupted; its attempt does not count"
	default:
		return slog.LevelError, "task ended, but its result was not stored: " + string(run.Outcome)
	}
}
