package queue

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
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
	// [Snooze], [Backoff], and [Continue] for now). If Run.DispatchErr is set, it could not be dispatched
	// for that time.
	OutcomeRescheduled Outcome = "rescheduled"
	// OutcomeInterrupted: the process is stopping, and the claim was released
	// without counting the attempt.
	OutcomeInterrupted Outcome = "interrupted"
	// OutcomeAbandoned: the function did not return in time; the row stays
	// RUNNING until its lease expires.
	OutcomeAbandoned Outcome = "abandoned"
	// OutcomeLost: the claim was lost while the function ran, and nothing was
	// written. Run.Row is the row as another claim, or a cancellation, left it.
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

// activeRun is one run of a claimed row.
type activeRun struct {
	executor *Executor
	row      *Row
	claim    Claim
	info     Info
	lease    lease
	pulled   bool            // nobody waits for this run alone
	done     func(*Run)      // is called when it has ended
	ctx      context.Context // of the hooks and of the log line
	values   taskContext     // the parent of taskCtx
	taskCtx  context.Context // of the function
	cancel   context.CancelCauseFunc
	stop     context.CancelFunc // of the timeout, if there is one
	began    time.Time
	errors   []AttemptError  // the row's, without a timeout that was recorded meanwhile
	args     json.RawMessage // of the function: the row's, decrypted
	value    json.RawMessage // what the function returned, inside of middleware
	run      *Run            // how it ended; set by whatever ends it

	reports         atomic.Pointer[reporting]
	keeps           atomic.Pointer[keeper]
	completed       atomic.Bool // CompleteTx has written its success, in a transaction that may or may not commit
	timeoutRecorded atomic.Bool // the row's errors may contain its timeout already

	// executor.mu is held for these.
	returned  bool        // its function has returned
	crowd     bool        // outcomes of others were being stored then
	abandoned bool        // its return is no longer waited for
	late      *time.Timer // see watch
}

// runTasks runs a claimed task that has a slot, and then those of the buffer to which
// it can give that slot. A goroutine of e.goroutines calls it.
func (e *Executor) runTasks(t claimedTask) {
	for more := true; more; {
		r := e.begin(t)
		t, more = e.returned(r, e.call(r))
	}
}

// begin prepares the call of a claimed row's function.
func (e *Executor) begin(t claimedTask) *activeRun {
	row := t.row
	r := &activeRun{executor: e, row: row, claim: row.Claim(), info: infoOf(row), errors: row.Errors, pulled: t.pulled, done: t.done, ctx: t.ctx}
	if hook := e.client.cfg.Hooks.Running; hook != nil {
		r.ctx = hook(r.ctx, row)
	}
	r.values = taskContext{r.ctx, r}
	r.taskCtx, r.cancel = context.WithCancelCause(&r.values)
	timeout := e.timeout(row)
	if timeout > 0 {
		r.taskCtx, r.stop = context.WithTimeoutCause(r.taskCtx, timeout, &TimeoutError{Timeout: timeout})
	}
	e.register(r)
	e.heartbeater.add(r.claim, &r.lease, t.claimedAt, r.cancel, &r.reports)
	if hook := e.client.cfg.Hooks.Started; hook != nil {
		hook(r.ctx, row)
	}
	if timeout > 0 {
		e.watch(r, timeout)
	}
	return r
}

// returned ends the run of a function that has returned. It frees the slot, and
// returns the next task of the buffer if the caller can run it.
func (e *Executor) returned(r *activeRun, res result) (next claimedTask, more bool) {
	next, more, expected := e.freeSlot(r)
	if !expected {
		return next, more
	}
	r.row.MaxAttempts = r.allowedAttempts()
	if !r.row.Limited && r.row.Group == uuid.Nil && e.finishAsync(r, res) {
		return next, more
	}
	if more {
		t := next
		e.goroutines.run(func() { e.runTasks(t) })
	}
	e.conclude(r, e.settle(r, res, context.Cause(r.taskCtx)))
	return claimedTask{}, false
}

// conclude does what follows when the outcome of a run is stored, or is given up.
func (e *Executor) conclude(r *activeRun, run *Run) {
	r.run = run
	e.finalize(r)
	if r.row.Limited && run.Outcome != OutcomeAbandoned {
		e.client.admitNext(r.ctx, r.row)
	}
	e.client.memberEnded(r.ctx, run.Row)
	e.endAll([]*activeRun{r})
}

// finalize stops the heartbeat of a run that has ended, cancels its context, writes
// its log line and calls its hook.
func (e *Executor) finalize(r *activeRun) {
	if r.run.Outcome != OutcomeAbandoned { // then the function still has the row
		e.client.reveal(context.WithoutCancel(r.ctx), r.run.Row)
	}
	if r.run.Outcome != OutcomeAbandoned {
		r.run.Duration = time.Since(r.began)
		e.logRun(r.ctx, r.run)
	}
	e.heartbeater.remove(r.claim)
	r.cancel(nil)
	if r.stop != nil {
		r.stop()
	}
	if hook := e.client.cfg.Hooks.Finished; hook != nil {
		hook(r.ctx, r.run)
	}
}

// endAll gives up the reservations of runs that have ended.
func (e *Executor) endAll(runs []*activeRun) {
	if len(runs) == 0 {
		return
	}
	e.unregister(runs)
	for _, r := range runs {
		r.done(r.run)
	}
}

// timeoutRecordDelay is how long after its timeout a function may return before
// the timeout is recorded on its row.
const timeoutRecordDelay = 100 * time.Millisecond

// watch records that a run has timed out if its function does not return then, and
// abandons it a lease later.
func (e *Executor) watch(r *activeRun, timeout time.Duration) {
	after := func(wait time.Duration, then func()) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if !r.returned && !r.abandoned {
			r.late = time.AfterFunc(wait, then)
		}
	}
	after(timeout+timeoutRecordDelay, func() {
		var cause *TimeoutError
		if errors.As(context.Cause(r.taskCtx), &cause) {
			e.recordTimeout(r, timeout)
		}
		after(e.cfg.Lease-timeoutRecordDelay, func() { e.abandon(r) })
	})
}

// recordTimeout stores that the attempt has timed out while its function continues:
// if the function never returns, the row says what happened once its lease
// expires. It does not wait for the database. Whatever ends the claim writes its
// own history.
func (e *Executor) recordTimeout(r *activeRun, timeout time.Duration) {
	r.timeoutRecorded.Store(true)
	row := r.row
	history := row.withError(notReturned(timeout).record(row, e.client.now()))
	go func() {
		err := e.persist(r.ctx, func(ctx context.Context) error { return e.store.NoteErrors(ctx, r.claim, history) })
		if err != nil && !errors.Is(err, ErrLeaseLost) {
			e.log.WarnContext(r.ctx, "timeout could not be recorded on the row; the function has not returned",
				"task_id", row.ID, "task_path", row.Task, "attempt", row.Attempts, "error", err)
		}
	}()
}

// abandon ends the run of a function that ignores its context. Its claim is no longer
// renewed, so it expires, and no outcome will be written under it.
func (e *Executor) abandon(r *activeRun) {
	if !e.giveUp(r) {
		return
	}
	row, cause := r.row, context.Cause(r.taskCtx)
	e.log.ErrorContext(r.ctx, "task has not returned after its context ended; its claim expires with its lease",
		"task_id", row.ID, "task_path", row.Task, "attempt", row.Attempts, "cause", cause)
	e.conclude(r, &Run{Row: row, Outcome: OutcomeAbandoned, Err: cause, Duration: time.Since(r.began)})
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

// call calls the function of a run. Errors are classified here too: their methods are
// the task's code as well, and may panic. Goexit ends this goroutine, so another one
// continues.
func (e *Executor) call(r *activeRun) (res result) {
	if r.row.Invalid != nil {
		return result{failure: notCalled(r.row)}
	}
	called := false
	defer func() {
		if called {
			return
		}
		value := recover()
		exit := value == nil
		if exit {
			value = errGoexit
		}
		res = result{failure: classify(&PanicError{Value: value, Stack: debug.Stack()})}
		if exit {
			e.goroutines.run(func() {
				if next, more := e.returned(r, res); more {
					e.runTasks(next)
				}
			})
		}
	}()
	// The claim names only what is registered, so the lookup cannot miss.
	var err error
	if r.args, err = e.client.openValue(r.taskCtx, r.row, argsKind, r.row.Args); err != nil {
		res.failure, called = classify(err), true
		return res
	}
	if chain := e.client.chains.tasks[r.row.Task].run; chain != nil {
		res.value, err = r.surrounded(chain)
	} else {
		d, _ := e.client.registry.lookup(r.row.Task)
		res.value, err = d.run(r.taskCtx, r.args)
	}
	if err == nil {
		res.value, err = e.client.sealResult(r.taskCtx, r.row, res.value)
	}
	if err != nil {
		var again *continuation
		if r.row.KeyID != "" && errors.As(err, &again) && again.err != nil {
			again.err = hiding(r.row, again.err)
		}
		res.failure = classify(err)
	}
	called = true
	return res
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
	case run.Err != nil && !run.cancelled() && run.Outcome != OutcomeRescheduled: // else the message says it
		attrs = append(attrs, slog.Any("error", run.Err))
	}
	if run.Outcome == OutcomeRescheduled && !row.RunAfter.IsZero() { // it is zero after Continue
		attrs = append(attrs, slog.Time("run_after", row.RunAfter))
	}
	e.log.LogAttrs(ctx, level, message, attrs...)
}

// cancelled reports whether the task was cancelled while it ran.
func (r *Run) cancelled() bool { return r.Outcome == OutcomeLost && r.Row.Status == StatusCancelled }

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
		switch {
		case f != nil && f.drops && f.continuation != nil:
			return slog.LevelWarn, "task continues in another attempt; the error that it returned with Continue is stored nowhere"
		case f != nil && f.drops && f.snoozed():
			return slog.LevelWarn, "task runs again at the time it asked for; the error that it returned with Snooze is stored nowhere"
		case f != nil && f.continuation != nil:
			return slog.LevelInfo, "task continues in another attempt"
		case f != nil && f.snoozed():
			return slog.LevelInfo, "task runs again at the time it asked for"
		}
		return slog.LevelWarn, "task runs again at the time it asked for"
	case OutcomeInterrupted:
		return slog.LevelInfo, "task interrupted; its attempt does not count"
	case OutcomeLost:
		if run.cancelled() {
			return slog.LevelInfo, "task was cancelled while it ran"
		}
	}
	return slog.LevelError, "task ended, but its result was not stored: " + string(run.Outcome)
}
