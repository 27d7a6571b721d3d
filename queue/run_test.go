package queue_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

func TestFailureIsRetriedUntilNoAttemptIsLeft(t *testing.T) {
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
		"panic":                             {func(context.Context) (any, error) { panic("boom") }, "*queue.PanicError", "panic: boom", "run_test.go"},
		"panic with error":                  {func(context.Context) (any, error) { panic(errors.New("assignment")) }, "*queue.PanicError", "panic: assignment", "run_test.go"},
		"panic nil":                         {func(context.Context) (any, error) { panic(nil) }, "*queue.PanicError", "panic called with nil argument", "run_test.go"},
		"typed nil error":                   {func(context.Context) (any, error) { var e *fs.PathError; return nil, e }, "*queue.PanicError", "panic: runtime error: invalid memory address", ""},
		"error that panics when asked":      {func(context.Context) (any, error) { return nil, fmt.Errorf("save: %w", (*moody)(nil)) }, "*queue.PanicError", "panic: runtime error", "run_test.go"},
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
	if log := sys.log.String(); !strings.Contains(log, "stack=") || !strings.Contains(log, "run_test.go") {
		t.Error(log)
	}
}

func TestTaskErrorsDecideWhatFollows(t *testing.T) {
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

func TestAResultThatCannotBeStoredIsNotRetried(t *testing.T) {
	for name, out := range map[string]any{
		"at most 1048576": strings.Repeat("x", queue.DefaultMaxBytes),
		"return value":    func() {},
	} {
		sys := newSystem(t, setup{}, task(func(context.Context) (any, error) { return out, nil }))
		run := sys.run(sys.enqueue("t", nil))
		if row := run.Row; row.Status != queue.StatusFailed || row.Attempts != 1 || len(row.Errors) != 1 || !strings.Contains(row.Errors[0].Message, name) {
			t.Errorf("%s: %+v", name, row)
		}
	}
}

// ignorant is a system whose task takes a time, ignores its context and then
// returns what next returns.
func ignorant(t *testing.T, takes time.Duration, next func() (any, error)) *system {
	return newSystem(t, setup{exec: queue.ExecutorConfig{Timeout: 10 * time.Second, Lease: 6 * time.Second}},
		task(func(context.Context) (any, error) { time.Sleep(takes); return next() }))
}

func TestATimeoutIsRecordedWhileTheFunctionContinues(t *testing.T) {
	timedOut := func(row *queue.Row) bool {
		return len(row.Errors) == 1 && row.Errors[0].ExceptionClassPath == "*queue.TimeoutError" && strings.Contains(row.Errors[0].Message, "timed out after 10s")
	}
	for _, attempts := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			sys := ignorant(t, time.Hour, func() (any, error) { return nil, nil })
			id := sys.enqueue("t", nil, queue.MaxAttempts(attempts))
			done := make(chan *queue.Run)
			go func() { done <- sys.run(id) }()
			time.Sleep(11 * time.Second)
			if row := sys.row(id); row.Status != queue.StatusRunning || !timedOut(row) {
				t.Errorf("while it runs: %+v", row)
			}
			if run := <-done; run.Outcome != queue.OutcomeAbandoned {
				t.Errorf("%+v", run)
			}
			time.Sleep(10 * time.Second) // the lease expires
			if attempts == 1 {
				if _, err := sys.exec.RunByID(t.Context(), id, queue.RunOptions{}); !errors.Is(err, queue.ErrWorkerLost) || !strings.Contains(err.Error(), "timed out after 10s") {
					t.Errorf("a delivery then: %v", err)
				}
			} else if _, err := sys.store.Promote(t.Context(), 10); err != nil {
				t.Fatal(err)
			}
			row, want := sys.row(id), queue.StatusFailed
			if attempts > 1 {
				want = queue.StatusReady
			}
			if row.Status != want || !timedOut(row) {
				t.Errorf("%d attempts: %+v", attempts, row)
			}
			time.Sleep(2 * time.Hour) // the function returns
		})
	}
}

func TestATimeoutIsReplacedWhenTheFunctionReturnsAfterAll(t *testing.T) {
	for what, next := range map[string]func() (any, error){
		"success": func() (any, error) { return "late", nil },
		"failure": func() (any, error) { return nil, errors.New("late") },
		"snooze":  func() (any, error) { return nil, queue.Snooze(time.Minute) },
	} {
		synctest.Test(t, func(t *testing.T) {
			sys := ignorant(t, 12*time.Second, next)
			id := sys.enqueue("t", nil)
			run := sys.run(id)
			row := sys.row(id)
			want := map[string]int{"failure": 1}[what]
			if run.Outcome == queue.OutcomeAbandoned || row.Status == queue.StatusRunning || len(row.Errors) != want || want == 1 && !strings.HasSuffix(row.Errors[0].Message, "late") {
				t.Errorf("%s: %s, %+v", what, run.Outcome, row)
			}
		})
	}
}
