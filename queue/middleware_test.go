package queue_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// trail records what happens, from any goroutine.
type trail struct {
	mu    sync.Mutex
	steps []string
}

func (l *trail) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps = append(l.steps, fmt.Sprintf(format, args...))
}

func (l *trail) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	steps := l.steps
	l.steps = nil
	return steps
}

// traced is middleware that records its calls under a name.
func (l *trail) traced(name string) queue.Middleware {
	return queue.Middleware{
		Enqueue: func(next queue.EnqueueFunc) queue.EnqueueFunc {
			return func(ctx context.Context, rows []*queue.Row) error {
				l.add("%s enqueues %d", name, len(rows))
				err := next(ctx, rows)
				l.add("%s enqueued %s", name, rows[0].Status)
				return err
			}
		},
		Run: func(next queue.RunFunc) queue.RunFunc {
			return func(ctx context.Context, row *queue.Row) error {
				l.add("%s runs %s attempt %d", name, row.Task, row.Attempts)
				err := next(ctx, row)
				l.add("%s ran to %s", name, row.StatusAfter(err))
				return err
			}
		},
	}
}

func wantSteps(t *testing.T, l *trail, want ...string) {
	t.Helper()
	if got := l.take(); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestMiddlewareSurroundsInTheStatedOrder(t *testing.T) {
	var l trail
	typed := func(name string) func(queue.Func[int, string]) queue.Func[int, string] {
		return func(next queue.Func[int, string]) queue.Func[int, string] {
			return func(ctx context.Context, in int) (string, error) {
				l.add("%s gets %d", name, in)
				out, err := next(ctx, in+1)
				l.add("%s returns %s", name, out)
				return out + "!", err
			}
		}
	}
	one := queue.NewTask("one", func(_ context.Context, in int) (string, error) {
		l.add("one %d", in)
		return fmt.Sprint("<", in, ">"), nil
	}, queue.Use(l.traced("c"), l.traced("d")), queue.Around(typed("e"), typed("f")), queue.Alias("uno"))
	other := task(func(context.Context) (any, error) { return nil, nil })
	sys := newSystem(t, setup{client: queue.Config{Middleware: []queue.Middleware{l.traced("a"), {}, l.traced("b")}}}, one, other)
	id := sys.enqueue("uno", 1)
	wantSteps(t, &l, "a enqueues 1", "b enqueues 1", "c enqueues 1", "d enqueues 1", "d enqueued READY", "c enqueued READY", "b enqueued READY", "a enqueued READY")
	run := sys.run(id)
	wantSteps(t, &l, "a runs uno attempt 1", "b runs uno attempt 1", "c runs uno attempt 1", "d runs uno attempt 1", "e gets 1", "f gets 2", "one 3",
		"f returns <3>", "e returns <3>!", "d ran to SUCCESSFUL", "c ran to SUCCESSFUL", "b ran to SUCCESSFUL", "a ran to SUCCESSFUL")
	if got := string(run.Row.ReturnValue); got != `"<3>!!"` {
		t.Errorf("returned %s", got)
	}

	// That of a task gets its rows only, whatever else the call stores.
	if _, err := sys.client.EnqueueMany(t.Context(), queue.Request{Task: "t"}, queue.Request{Task: "one", Args: 1}, queue.Request{Task: "t"}, queue.Request{Task: "one", Args: 2}); err != nil {
		t.Fatal(err)
	}
	wantSteps(t, &l, "a enqueues 4", "b enqueues 4", "c enqueues 2", "d enqueues 2", "d enqueued READY", "c enqueued READY", "b enqueued READY", "a enqueued READY")
}

// enqueueing is middleware around enqueues only.
func enqueueing(f func(ctx context.Context, rows []*queue.Row, next queue.EnqueueFunc) error) []queue.Middleware {
	return []queue.Middleware{{Enqueue: func(next queue.EnqueueFunc) queue.EnqueueFunc {
		return func(ctx context.Context, rows []*queue.Row) error { return f(ctx, rows, next) }
	}}}
}

// running is middleware around runs only.
func running(f func(ctx context.Context, row *queue.Row, next queue.RunFunc) error) []queue.Middleware {
	return []queue.Middleware{{Run: func(next queue.RunFunc) queue.RunFunc {
		return func(ctx context.Context, row *queue.Row) error { return f(ctx, row, next) }
	}}}
}

func TestMiddlewareRefusesAnEnqueue(t *testing.T) {
	errQuota := errors.New("over the quota")
	sys := newSystem(t, setup{client: queue.Config{Middleware: enqueueing(func(ctx context.Context, rows []*queue.Row, next queue.EnqueueFunc) error {
		if string(rows[0].Args) == `"refused"` {
			return errQuota
		}
		return next(ctx, rows)
	})}}, task(func(context.Context) (any, error) { return nil, nil }))
	id := uuid.New()
	if _, err := sys.client.Enqueue(t.Context(), "t", "refused", queue.WithID(id)); !errors.Is(err, errQuota) {
		t.Errorf("got %v", err)
	}
	if _, err := sys.client.Get(t.Context(), id); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("it was stored: %v", err)
	}
	sys.enqueue("t", "accepted", queue.WithID(id))
}

func TestMiddlewareThatForgetsNextStoresNothingAndSaysSo(t *testing.T) {
	for name, c := range map[string]struct {
		f    func(ctx context.Context, rows []*queue.Row, next queue.EnqueueFunc) error
		want string
	}{
		"no call": {func(context.Context, []*queue.Row, queue.EnqueueFunc) error { return nil }, "nothing was stored"},
		"another context": {func(_ context.Context, rows []*queue.Row, next queue.EnqueueFunc) error {
			return next(context.Background(), rows)
		}, "not made from its own"},
		"an error dropped": {func(ctx context.Context, rows []*queue.Row, next queue.EnqueueFunc) error {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			_ = next(ctx, rows)
			return nil
		}, "context canceled"},
		"twice": {func(ctx context.Context, rows []*queue.Row, next queue.EnqueueFunc) error {
			return errors.Join(next(ctx, rows), next(ctx, rows))
		}, "has called next again"},
	} {
		t.Run(name, func(t *testing.T) {
			sys := newSystem(t, setup{client: queue.Config{Middleware: enqueueing(c.f)}}, task(func(context.Context) (any, error) { return nil, nil }))
			handle, err := sys.client.Enqueue(t.Context(), "t", nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || handle != nil {
				t.Errorf("got %v, %v; want %q", handle, err, c.want)
			}
			stored := 0
			if name == "twice" {
				stored = 1 // the second call did nothing
			}
			if n, err := sys.client.PendingCount(t.Context(), queue.Filter{}); err != nil || n != stored {
				t.Errorf("%d rows, %v; want %d", n, err, stored)
			}
		})
	}
}

func TestMiddlewareGivesEnqueuesValuesAndDeadlines(t *testing.T) {
	type key struct{}
	var seen []any
	sys := newSystem(t, setup{dispatch: &recorder{}, client: queue.Config{
		Middleware: enqueueing(func(ctx context.Context, rows []*queue.Row, next queue.EnqueueFunc) error {
			return next(context.WithValue(ctx, key{}, rows[0].ID), rows)
		}),
		Hooks: queue.Hooks{Dispatched: func(ctx context.Context, row *queue.Row, _ error) { seen = append(seen, ctx.Value(key{}) == row.ID) }},
	}}, task(func(context.Context) (any, error) { return nil, nil }))
	sys.enqueue("t", nil)
	wantEqual(t, "values in hooks", fmt.Sprint(seen), "[true]")
}

func TestMiddlewareSurroundsTransactionalEnqueues(t *testing.T) {
	var l trail
	refuse := false
	more := enqueueing(func(ctx context.Context, rows []*queue.Row, next queue.EnqueueFunc) error {
		if refuse {
			return errors.New("refused")
		}
		return next(ctx, rows)
	})
	db := newLedger(t, setup{client: queue.Config{Middleware: append(more, l.traced("a"))}}, task(func(context.Context) (any, error) { return nil, nil }))
	for _, refuse = range []bool{true, false} {
		err := db.client.InTx(t.Context(), sqlitestore.Tx(db.begin()), func(q queue.Tx) error {
			_, err := db.client.EnqueueTx(t.Context(), q, "t", nil)
			return err
		})
		if refuse != (err != nil) {
			t.Errorf("refuse %t: %v", refuse, err)
		}
	}
	wantSteps(t, &l, "a enqueues 1", "a enqueued READY")
	if n, err := db.client.PendingCount(t.Context(), queue.Filter{}); err != nil || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestMiddlewareSurroundsOccurrencesOfSchedules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l trail
		var act func()
		more := enqueueing(func(ctx context.Context, rows []*queue.Row, next queue.EnqueueFunc) error {
			l.add("%s for %s", rows[0].Schedule, rows[0].ScheduledFor.Format("15:04"))
			if act != nil {
				act()
				return errors.New("refused")
			}
			err := next(ctx, rows)
			l.add("%s %v", rows[0].Status, err)
			return err
		})
		sys := newSystem(t, setup{client: queue.Config{Middleware: more}}, nightly, queue.Every("report", "@hourly", nightly, 1))
		sys.tick(0)
		time.Sleep(time.Until(time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC)))
		sys.tick(0)
		wantSteps(t, &l, "report for 01:00", "READY <nil>")

		// A refusal, a panic and Goexit are errors of the schedule, and leave it due.
		for name, f := range map[string]func(){"refused": func() {}, "panic: oh no": func() { panic("oh no") }, "Goexit": runtime.Goexit} {
			act = f
			time.Sleep(time.Hour)
			ticked, err := sys.client.Tick(t.Context(), 0)
			if err != nil || ticked.Failed != 1 || ticked.Enqueued != 0 {
				t.Errorf("%s: %+v %v", name, ticked, err)
			}
			if log := sys.log.String(); !strings.Contains(log, name) {
				t.Errorf("%s is not in the log: %s", name, log)
			}
		}
		act = nil
		l.take()
		sys.tick(0)
		wantSteps(t, &l, "report for 04:00", "READY <nil>")
		time.Sleep(time.Minute)
		if _, err := sys.client.RunSchedule(t.Context(), "report", "ann"); err != nil {
			t.Fatal(err)
		}
		wantSteps(t, &l, "report for 04:01", "READY <nil>")
	})
}

func TestMiddlewareDecidesTheOutcomeOfARun(t *testing.T) {
	for name, c := range map[string]struct {
		f             func(ctx context.Context, row *queue.Row, next queue.RunFunc) error
		status        queue.Status
		value, failed string // the return value, or the class of the last error
	}{
		"nothing":  {func(ctx context.Context, row *queue.Row, next queue.RunFunc) error { return next(ctx, row) }, queue.StatusSuccessful, `"out"`, ""},
		"no call":  {func(context.Context, *queue.Row, queue.RunFunc) error { return nil }, queue.StatusSuccessful, `null`, ""},
		"an error": {func(context.Context, *queue.Row, queue.RunFunc) error { return errors.New("no") }, queue.StatusReady, "", "*errors.errorString"},
		"an error after": {func(ctx context.Context, row *queue.Row, next queue.RunFunc) error {
			_ = next(ctx, row)
			return queue.Discard(errors.New("no"))
		}, queue.StatusFailed, "", "*errors.errorString"},
		"cancelled": {func(context.Context, *queue.Row, queue.RunFunc) error { return queue.Cancel(nil) }, queue.StatusCancelled, "", "*errors.errorString"},
		"a panic":   {func(context.Context, *queue.Row, queue.RunFunc) error { panic("oh no") }, queue.StatusReady, "", "*queue.PanicError"},
		"a panic after": {func(ctx context.Context, row *queue.Row, next queue.RunFunc) error {
			_ = next(ctx, row)
			panic("oh no")
		}, queue.StatusReady, "", "*queue.PanicError"},
		"Goexit": {func(context.Context, *queue.Row, queue.RunFunc) error { runtime.Goexit(); return nil }, queue.StatusReady, "", "*queue.PanicError"},
		"another context": {func(_ context.Context, row *queue.Row, next queue.RunFunc) error {
			return next(context.Background(), row)
		}, queue.StatusFailed, "", "*errors.errorString"},
		"a deadline": {func(ctx context.Context, row *queue.Row, next queue.RunFunc) error {
			ctx, cancel := context.WithCancelCause(ctx)
			cancel(errors.New("closed on Sundays"))
			_ = next(ctx, row)
			return context.Cause(ctx)
		}, queue.StatusReady, "", "*errors.errorString"},
	} {
		t.Run(name, func(t *testing.T) {
			sys := newSystem(t, setup{client: queue.Config{Middleware: running(c.f)}}, task(func(context.Context) (any, error) { return "out", nil }))
			id := sys.enqueue("t", nil)
			sys.run(id)
			row := sys.row(id)
			if row.Status != c.status || string(row.ReturnValue) != c.value {
				t.Errorf("%s with %s; want %s with %s", row.Status, row.ReturnValue, c.status, c.value)
			}
			failed := ""
			if n := len(row.Errors); n > 0 {
				failed = row.Errors[n-1].ExceptionClassPath
			}
			wantEqual(t, "error", failed, c.failed)
			// The slot is free, whatever ended the goroutine.
			sys.run(sys.enqueue("t", nil))
		})
	}
}

func TestMiddlewareOfTheWrongTypeIsRefused(t *testing.T) {
	wantPanic := func(want string, f func()) {
		t.Helper()
		defer func() {
			if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
				t.Errorf("panicked with %s; want %s", got, want)
			}
		}()
		f()
	}
	fn := func(context.Context, int) (int, error) { return 0, nil }
	wantPanic("Around has the types string and int, and the task has int and int", func() {
		queue.NewTask("t", fn, queue.Around(func(next queue.Func[string, int]) queue.Func[string, int] { return next }))
	})
	wantPanic("returned nil", func() {
		queue.NewTask("t", fn, queue.Around(func(queue.Func[int, int]) queue.Func[int, int] { return nil }))
	})
	good := queue.NewTask("t", fn)
	for _, m := range []queue.Middleware{
		{Enqueue: func(queue.EnqueueFunc) queue.EnqueueFunc { return nil }}, {Run: func(queue.RunFunc) queue.RunFunc { return nil }},
	} {
		_, err := queue.NewClient(queue.Config{Store: newStore(t), Registry: queue.NewRegistry(good), Middleware: []queue.Middleware{m}})
		if err == nil || !strings.Contains(err.Error(), "returned nil") {
			t.Errorf("got %v", err)
		}
	}
	sys := newSystem(t, setup{}, good)
	_, err := sys.client.Enqueue(t.Context(), "t", 1, queue.Use(queue.Middleware{}))
	if !errors.Is(err, queue.ErrInvalid) || !strings.Contains(err.Error(), "Use and Around are options of the task") {
		t.Errorf("got %v", err)
	}
}
