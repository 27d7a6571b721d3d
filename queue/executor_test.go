package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// task returns a task named "t" that calls f.
func task(f func(ctx context.Context) (any, error), opts ...queue.Option) queue.Definition {
	return queue.NewTask("t", func(ctx context.Context, _ json.RawMessage) (any, error) { return f(ctx) }, opts...)
}

func TestRunFinishesTheRowWithItsReturnValue(t *testing.T) {
	sys := newSystem(t, setup{exec: queue.ExecutorConfig{WorkerID: "w1"}},
		queue.NewTask("t", func(_ context.Context, in json.RawMessage) (json.RawMessage, error) { return in, nil }))
	id := sys.enqueue("t", json.RawMessage(`{"n": 12345678901234567890123, "s":"<é>"}`))
	run := sys.run(id)
	row := sys.row(id)
	if run.Outcome != queue.OutcomeSucceeded || row.Status != queue.StatusSuccessful || string(row.ReturnValue) != `{"n":12345678901234567890123,"s":"<é>"}` {
		t.Errorf("%s, row %s returned %s", run.Outcome, row.Status, row.ReturnValue)
	}
	if row.Attempts != 1 || len(row.WorkerIDs) != 1 || row.WorkerIDs[0] != "w1" || row.StartedAt.IsZero() || row.FinishedAt.IsZero() || len(row.Errors) != 0 {
		t.Errorf("%+v", row)
	}
	if run.Row.Status != row.Status || !run.Row.FinishedAt.Equal(row.FinishedAt) || string(run.Row.ReturnValue) != string(row.ReturnValue) {
		t.Errorf("the run's row %+v is not the stored one %+v", run.Row, row)
	}
	if !strings.Contains(sys.log.String(), "task succeeded") {
		t.Error("no log line")
	}
}

func TestFailureIsTriedAgainUntilNoAttemptIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := newSystem(t, setup{}, task(func(ctx context.Context) (any, error) {
			info, _ := queue.InfoFrom(ctx)
			return nil, fmt.Errorf("attempt %d: %w", info.Attempt, &fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist})
		}, queue.MaxAttempts(2)))
		id := sys.enqueue("t", nil)
		before := time.Now()
		run := sys.run(id)
		row := sys.row(id)
		if run.Outcome != queue.OutcomeFailed || row.Status != queue.StatusReady || row.Attempts != 1 || len(row.Errors) != 1 {
			t.Fatalf("%s %+v", run.Outcome, row)
		}
		if wait := row.RetryAt.Sub(before); wait < time.Second || wait > 1100*time.Millisecond || !row.RunAfter.IsZero() {
			t.Errorf("first retry is %s away (run_after %s), want a second to 1.1 s", wait, row.RunAfter)
		}
		e := row.Errors[0]
		if e.ExceptionClassPath != "*fs.PathError" || e.Message != "attempt 1: open x: file does not exist" || e.Attempt != 1 || e.At.IsZero() {
			t.Errorf("recorded %+v", e)
		}
		if want := "*fmt.wrapError: attempt 1: open x: file does not exist\n*fs.PathError: open x: file does not exist\n*errors.errorString: file does not exist\n"; e.Traceback != want {
			t.Errorf("chain:\n%swant:\n%s", e.Traceback, want)
		}
		// A delivery does not wait for the soft time.
		run = sys.run(id)
		row = sys.row(id)
		if run.Outcome != queue.OutcomeFailed || row.Status != queue.StatusFailed || row.Attempts != 2 || len(row.Errors) != 2 || row.FinishedAt.IsZero() {
			t.Errorf("%s %+v", run.Outcome, row)
		}
		if log := sys.log.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, id.String()) || !strings.Contains(log, "max_attempts=2") {
			t.Errorf("the last failure is not at error level with its ID: %s", log)
		}
		_, err := sys.exec.RunByID(t.Context(), id, queue.RunOptions{})
		if !errors.Is(err, queue.ErrFinal) {
			t.Errorf("a further delivery: %v, want ErrFinal", err)
		}
		run, err = sys.exec.RunByID(t.Context(), id, queue.RunOptions{AllowRetry: true})
		if err != nil || run.Row.Attempts != 3 || run.Row.MaxAttempts != 3 || len(run.Row.Errors) != 3 {
			t.Errorf("operator's retry: %+v, %v", run, err)
		}
	})
}

func TestAttemptsThatEndBadlyAreRecorded(t *testing.T) {
	for name, c := range map[string]struct {
		f           func(context.Context) (any, error)
		class, text string
		trace       string
	}{
		"panic":                             {func(context.Context) (any, error) { panic("boom") }, "*queue.PanicError", "panic: boom", "executor_test.go"},
		"panic with error":                  {func(context.Context) (any, error) { panic(errors.New("assignment")) }, "*queue.PanicError", "panic: assignment", "executor_test.go"},
		"panic nil":                         {func(context.Context) (any, error) { panic(nil) }, "*queue.PanicError", "panic called with nil argument", "executor_test.go"},
		"typed nil error":                   {func(context.Context) (any, error) { var e *fs.PathError; return nil, e }, "*queue.PanicError", "panic: runtime error: invalid memory address", ""},
		"error that panics when asked":      {func(context.Context) (any, error) { return nil, fmt.Errorf("save: %w", (*moody)(nil)) }, "*queue.PanicError", "panic: runtime error", "executor_test.go"},
		"error that panics the second time": {func(context.Context) (any, error) { return nil, &moody{patience: 1} }, "", "", ""},
		"panic with an error that panics":   {func(context.Context) (any, error) { panic((*moody)(nil)) }, "*queue.PanicError", "panic: ", ""},
		"Discard nil":                       {func(context.Context) (any, error) { return nil, queue.Discard(nil) }, "", "discarded", ""},
		"RetryAt nil, last attempt":         {func(context.Context) (any, error) { return nil, queue.RetryAt(time.Now(), nil) }, "", "to be retried", ""},
		"Goexit":                            {func(context.Context) (any, error) { runtime.Goexit(); return nil, nil }, "*queue.PanicError", "runtime.Goexit", ""},
		"cannot encode":                     {func(context.Context) (any, error) { return []any{1, math.Inf(1)}, nil }, "*json.UnsupportedValueError", "return value[1] cannot be encoded as JSON", ""},
		"too large":                         {func(context.Context) (any, error) { return strings.Repeat("x", 2000), nil }, "", "the return value is 2002 bytes of JSON; at most 1000 are accepted", ""},
		"NUL in result":                     {func(context.Context) (any, error) { return "a\x00", nil }, "", "return value contains U+0000", ""},
		"NUL in error":                      {func(context.Context) (any, error) { return nil, errors.New("a\x00\xff") }, "*errors.errorString", "a\uFFFD\uFFFD", ""},
		"joined errors":                     {func(context.Context) (any, error) { return nil, errors.Join(errors.New("a"), errors.New("b")) }, "*errors.joinError", "a\nb", "*errors.errorString: b"},
	} {
		t.Run(name, func(t *testing.T) {
			sys := newSystem(t, setup{client: queue.Config{MaxBytes: 1000}}, task(c.f, queue.MaxAttempts(1)))
			id := sys.enqueue("t", nil)
			sys.run(id)
			row := sys.row(id)
			if row.Status != queue.StatusFailed || len(row.Errors) != 1 {
				t.Fatalf("%+v", row)
			}
			e := row.Errors[0]
			if c.class != "" && e.ExceptionClassPath != c.class || !strings.Contains(e.Message, c.text) || !strings.Contains(e.Traceback, c.trace) {
				t.Errorf("recorded %s: %s\n%s", e.ExceptionClassPath, e.Message, e.Traceback)
			}
		})
	}
}

// moody is an error whose methods panic: on a nil pointer, or after a while.
type moody struct{ patience int }

func (m *moody) Error() string {
	if m == nil {
		return "fine so far"
	}
	if m.patience--; m.patience < 0 {
		panic("no more")
	}
	return "moody"
}

func (m *moody) Unwrap() error {
	_ = m.patience // panics on nil
	return nil
}

func TestPanicsStackIsInTheLogToo(t *testing.T) {
	sys := newSystem(t, setup{}, task(func(context.Context) (any, error) { panic("boom") }))
	sys.run(sys.enqueue("t", nil))
	if log := sys.log.String(); !strings.Contains(log, "stack=") || !strings.Contains(log, "executor_test.go") {
		t.Error(log)
	}
}

func TestTheTasksWordOnWhatFollows(t *testing.T) {
	inAnHour := time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC) // a bubble begins at midnight
	for name, c := range map[string]struct {
		err     error
		outcome queue.Outcome
		check   func(row *queue.Row) bool
		tickets int
	}{
		"Cancel": {fmt.Errorf("x: %w", queue.Cancel(errors.New("gone"))), queue.OutcomeCancelled, func(r *queue.Row) bool {
			return r.Status == queue.StatusCancelled && r.Attempts == 1 && len(r.Errors) == 1 && r.Errors[0].Message == "x: gone" && !r.FinishedAt.IsZero()
		}, 0},
		"Discard": {fmt.Errorf("x: %w", queue.Discard(errors.New("bad"))), queue.OutcomeFailed, func(r *queue.Row) bool {
			return r.Status == queue.StatusFailed && len(r.Errors) == 1 && r.Errors[0].ExceptionClassPath == "*errors.errorString"
		}, 0},
		"RetryAt": {queue.RetryAt(inAnHour, errors.New("later")), queue.OutcomeRescheduled, func(r *queue.Row) bool {
			return r.Status == queue.StatusReady && r.RunAfter.Equal(inAnHour.Truncate(time.Microsecond)) && r.Attempts == 1 && len(r.Errors) == 1 && r.Errors[0].Message == "later"
		}, 1},
		"RetryAt far": {queue.RetryAt(inAnHour.AddDate(0, 2, 0), errors.New("later")), queue.OutcomeRescheduled, func(r *queue.Row) bool {
			return r.Status == queue.StatusReady && r.DispatchDueAt.Equal(r.RunAfter.Add(-queue.ArmWithin))
		}, 0},
		"RetryAt year 0":  {queue.RetryAt(time.Time{}, errors.New("later")), queue.OutcomeRescheduled, func(r *queue.Row) bool { return r.Status == queue.StatusReady }, 1},
		"RetryAt forever": {queue.RetryAt(inAnHour.AddDate(90000, 0, 0), errors.New("later")), queue.OutcomeRescheduled, func(r *queue.Row) bool { return r.RunAfter.Year() == 9999 }, 0},
		"Snooze": {queue.Snooze(time.Hour), queue.OutcomeRescheduled, func(r *queue.Row) bool {
			return r.Status == queue.StatusReady && r.Attempts == 0 && len(r.Errors) == 0 && len(r.WorkerIDs) == 0 && r.RunAfter.Equal(inAnHour)
		}, 1},
		"plain error": {errors.New("x"), queue.OutcomeFailed, func(r *queue.Row) bool { return r.Status == queue.StatusReady && !r.RetryAt.IsZero() }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent := &recorder{}
				sys := newSystem(t, setup{dispatch: sent}, task(func(context.Context) (any, error) { return nil, c.err }))
				id := sys.enqueue("t", nil)
				run := sys.run(id)
				if row := sys.row(id); run.Outcome != c.outcome || !c.check(row) {
					t.Errorf("%s, row %+v", run.Outcome, row)
				}
				if n := len(sent.sent()) - 1; n != c.tickets {
					t.Errorf("%d further tickets, want %d", n, c.tickets)
				}
				if c.outcome == queue.OutcomeRescheduled {
					_, err := sys.exec.RunByID(t.Context(), id, queue.RunOptions{})
					if name != "RetryAt year 0" && !errors.Is(err, queue.ErrNotDue) {
						t.Errorf("a delivery before its time: %v, want ErrNotDue", err)
					}
				}
			})
		})
	}
}

func TestArmingThatFailsIsSaidSoThatTheDeliveryComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := &recorder{err: errors.New("quota")}
		sys := newSystem(t, setup{dispatch: sent}, task(func(context.Context) (any, error) { return nil, queue.Snooze(time.Hour) }))
		id := sys.enqueue("t", nil)
		if row := sys.row(id); row.DispatchError != "quota" || row.DispatchDueAt.After(time.Now()) {
			t.Errorf("the failed dispatch is not on the row: %q, due for the sweeper %s", row.DispatchError, row.DispatchDueAt)
		}
		if run := sys.run(id); run.Outcome != queue.OutcomeRescheduled || run.DispatchErr == nil {
			t.Errorf("%+v", run)
		}
		if _, err := sys.exec.RunByID(t.Context(), id, queue.RunOptions{}); !errors.Is(err, queue.ErrNotArmed) {
			t.Errorf("early delivery: %v, want ErrNotArmed", err)
		}
		if !strings.Contains(sys.log.String(), "dispatch failed") {
			t.Error("not in the log")
		}
	})
}

func TestEarlyDeliveryIsArmedAgain(t *testing.T) {
	sent := &recorder{}
	sys := newSystem(t, setup{dispatch: sent}, task(func(context.Context) (any, error) { return nil, nil }, queue.Timeout(time.Minute), queue.OnQueue("q")))
	id := sys.enqueue("t", nil, queue.Delay(time.Hour))
	_, err := sys.exec.RunByID(t.Context(), id, queue.RunOptions{})
	var refused *queue.NotClaimedError
	if !errors.Is(err, queue.ErrNotDue) || !errors.As(err, &refused) || refused.Wait < 59*time.Minute {
		t.Fatalf("%v", err)
	}
	tickets := sent.sent()
	if len(tickets) != 2 || tickets[1] != tickets[0] || tickets[1].ID != id || tickets[1].Queue != "q" ||
		tickets[1].Timeout != time.Minute || !tickets[1].DueAt.Equal(sys.row(id).RunAfter) {
		t.Errorf("tickets %+v", tickets)
	}
	near := sys.enqueue("t", nil, queue.Delay(1500*time.Millisecond))
	if run := sys.run(near); run.Outcome != queue.OutcomeSucceeded {
		t.Errorf("a delivery within 2 s of its time: %+v", run)
	}
	far := sys.enqueue("t", nil, queue.Delay(40*24*time.Hour))
	if n := len(sent.sent()); n != 3 {
		t.Errorf("a row that is due in 40 days got a ticket (%d in all)", n)
	}
	if row := sys.row(far); !row.DispatchDueAt.Equal(row.RunAfter.Add(-queue.ArmWithin)) {
		t.Errorf("the sweeper is to arm it at %s, it is due at %s", row.DispatchDueAt, row.RunAfter)
	}
}

func TestTimeoutNamesItsOption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deadline time.Time
		sys := newSystem(t, setup{}, task(func(ctx context.Context) (any, error) {
			deadline, _ = ctx.Deadline()
			<-ctx.Done()
			return nil, fmt.Errorf("query: %w", ctx.Err())
		}, queue.Timeout(time.Second)))
		id := sys.enqueue("t", nil)
		start := time.Now()
		sys.run(id)
		e := sys.row(id).Errors[0]
		if e.Message != "task timed out after 1s (queue.Timeout)" || e.ExceptionClassPath != "*queue.TimeoutError" || !deadline.Equal(start.Add(time.Second)) {
			t.Errorf("%+v, deadline %s", e, deadline)
		}
	})
}

func TestHeartbeatsKeepALongTasksClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := newSystem(t, setup{exec: queue.ExecutorConfig{Lease: 3 * time.Second}}, task(func(context.Context) (any, error) {
			time.Sleep(6 * time.Minute)
			return nil, nil
		}))
		id := sys.enqueue("t", nil)
		done := make(chan *queue.Run)
		go func() { done <- sys.run(id) }()
		for range 60 {
			time.Sleep(5 * time.Second)
			_, err := sys.exec.RunByID(t.Context(), id, queue.RunOptions{})
			var refused *queue.NotClaimedError
			if !errors.As(err, &refused) || refused.Reason != queue.ErrLeased || refused.Wait > 3*time.Second {
				t.Fatalf("a duplicate delivery while it runs: %v, want ErrLeased", err)
			}
		}
		if run := <-done; run.Outcome != queue.OutcomeSucceeded {
			t.Errorf("%+v", run)
		}
	})
}

// frozen is a store whose heartbeats do not get through.
type frozen struct{ queue.Store }

func (frozen) Heartbeat(context.Context, time.Duration, ...queue.Claim) (renewed, lost []queue.Claim, err error) {
	return nil, nil, fmt.Errorf("%w: frozen", queue.ErrUnavailable)
}

func TestZombieIsToldAndItsFinishRefused(t *testing.T) {
	for _, heeds := range []bool{true, false} {
		t.Run(fmt.Sprintf("heeds its context %t", heeds), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore(t)
				var cause error
				zombie := newSystem(t, setup{store: frozen{store}, exec: queue.ExecutorConfig{Lease: 3 * time.Second, WorkerID: "zombie"}}, task(func(ctx context.Context) (any, error) {
					if heeds {
						<-ctx.Done()
						cause = context.Cause(ctx)
						return nil, ctx.Err()
					}
					time.Sleep(10 * time.Second)
					return "zombie", nil
				}))
				other := newSystem(t, setup{store: store, exec: queue.ExecutorConfig{WorkerID: "other"}}, task(func(context.Context) (any, error) {
					time.Sleep(time.Minute)
					return "other", nil
				}))
				id := zombie.enqueue("t", nil)
				done := make(chan *queue.Run)
				go func() { done <- zombie.run(id) }()
				time.Sleep(3*time.Second + time.Millisecond) // the lease has ended
				stolen := make(chan *queue.Run)
				go func() { stolen <- other.run(id) }()
				synctest.Wait()
				run := <-done
				if run.Outcome != queue.OutcomeLost || heeds && !errors.Is(cause, queue.ErrLeaseLost) {
					t.Errorf("zombie: %+v, cause %v", run, cause)
				}
				if row := zombie.row(id); row.Status != queue.StatusRunning || row.Attempts != 2 {
					t.Errorf("the zombie changed the row: %+v", row)
				}
				<-stolen
				row := zombie.row(id)
				if string(row.ReturnValue) != `"other"` || len(row.Errors) != 0 || len(row.WorkerIDs) != 2 {
					t.Errorf("%+v", row)
				}
			})
		})
	}
}

// unacknowledged is a store whose first finishes and retries take effect, but
// whose answers are lost.
type unacknowledged struct {
	queue.Store
	lost atomic.Int32
}

func (u *unacknowledged) Finish(ctx context.Context, c queue.Claim, f queue.Finish) (time.Time, error) {
	at, err := u.Store.Finish(ctx, c, f)
	if err == nil && u.lost.Add(-1) >= 0 {
		return time.Time{}, fmt.Errorf("%w: connection reset", queue.ErrUnavailable)
	}
	return at, err
}

func TestFinishWhoseAnswerWasLostIsRecognised(t *testing.T) {
	store := &unacknowledged{Store: newStore(t)}
	store.lost.Store(2)
	sys := newSystem(t, setup{store: store}, task(func(context.Context) (any, error) { return 1, nil }))
	id := sys.enqueue("t", nil)
	run := sys.run(id)
	if run.Outcome != queue.OutcomeSucceeded || !run.Row.FinishedAt.Equal(sys.row(id).FinishedAt) {
		t.Errorf("%+v", run)
	}
	if log := sys.log.String(); strings.Count(log, `msg="database unavailable`) != 1 || strings.Count(log, `msg="database calls succeed again`) != 1 {
		t.Errorf("an outage should be one line when it starts and one when it ends:\n%s", log)
	}
}

func TestFinishThatNeverGetsThroughIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &unacknowledged{Store: newStore(t)}
		store.lost.Store(math.MaxInt32)
		sys := newSystem(t, setup{store: store}, task(func(context.Context) (any, error) { return 1, nil }))
		start := time.Now()
		run := sys.run(sys.enqueue("t", nil))
		if run.Outcome != queue.OutcomeUnknown || !errors.Is(run.Err, queue.ErrFinishUnknown) || time.Since(start) > 20*time.Second {
			t.Errorf("%+v after %s", run, time.Since(start))
		}
	})
}

func TestRunGoesOnWhenItsCallerHasGone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	sys := newSystem(t, setup{}, task(func(taskCtx context.Context) (any, error) {
		cancel()
		return nil, taskCtx.Err()
	}))
	run, err := sys.exec.RunByID(ctx, sys.enqueue("t", nil), queue.RunOptions{})
	if err != nil || run.Outcome != queue.OutcomeSucceeded {
		t.Errorf("%+v, %v", run, err)
	}
}

func TestExecutorRunsNoMoreThanItsSlots(t *testing.T) {
	started, end := make(chan struct{}), make(chan struct{})
	sys := newSystem(t, setup{exec: queue.ExecutorConfig{Concurrency: 1}}, task(func(context.Context) (any, error) {
		close(started)
		<-end
		return nil, nil
	}))
	first, second := sys.enqueue("t", nil), sys.enqueue("t", nil)
	done := make(chan *queue.Run)
	go func() { done <- sys.run(first) }()
	<-started
	if _, err := sys.exec.RunByID(t.Context(), second, queue.RunOptions{}); !errors.Is(err, queue.ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
	if row := sys.row(second); row.Attempts != 0 {
		t.Errorf("an attempt was used up: %+v", row)
	}
	close(end)
	<-done
}

func TestContextKnowsTheTask(t *testing.T) {
	var info queue.Info
	var client *queue.Client
	sys := newSystem(t, setup{}, task(func(ctx context.Context) (any, error) {
		info, _ = queue.InfoFrom(ctx)
		client = queue.ClientFrom(ctx)
		return nil, nil
	}))
	id := sys.enqueue("t", nil, queue.Priority(5), queue.OnQueue("q"))
	sys.run(id)
	if info.ID != id || info.Task != "t" || info.Queue != "q" || info.Priority != 5 || info.Attempt != 1 || info.MaxAttempts != 10 || info.EnqueuedAt.IsZero() || client != sys.client {
		t.Errorf("%+v", info)
	}
	if _, ok := queue.InfoFrom(t.Context()); ok || queue.ClientFrom(t.Context()) != nil {
		t.Error("outside a task there should be nothing")
	}
}

func TestExecutorRefusesSenselessSettings(t *testing.T) {
	sys := newSystem(t, setup{})
	for _, cfg := range []queue.ExecutorConfig{{Lease: time.Millisecond}, {Concurrency: -1}, {Timeout: -1}} {
		if _, err := queue.NewExecutor(sys.client, cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
	if _, err := sys.exec.RunByID(t.Context(), uuid.New(), queue.RunOptions{}); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("unknown ID: %v", err)
	}
}
