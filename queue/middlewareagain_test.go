package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// retrying calls next again after an error, once.
func retrying(l *trail) []queue.Middleware {
	return enqueueing(func(ctx context.Context, rows []*queue.Row, next queue.EnqueueFunc) error {
		if err := next(ctx, rows); err == nil {
			return nil
		}
		l.add("again")
		return next(ctx, rows)
	})
}

// refusing refuses the first calls of each enqueue with its rows.
func refusing(l *trail, name string, times int) []queue.Middleware {
	return enqueueing(func(ctx context.Context, rows []*queue.Row, next queue.EnqueueFunc) error {
		if times--; times >= 0 {
			l.add("%s refuses %d", name, len(rows))
			return errors.New(name + " refuses")
		}
		l.add("%s accepts %d", name, len(rows))
		return next(ctx, rows)
	})
}

// A middleware that calls next again calls all of them again that are inside of it, whether
// they are of the same list or of another one.
func TestMiddlewareThatCallsNextAgainBypassesNoOther(t *testing.T) {
	fn := func(context.Context, int) (any, error) { return nil, nil }
	for name, c := range map[string]struct {
		times  int
		steps  []string
		stored int
	}{
		"still refused": {2, []string{"b refuses 2", "again", "b refuses 2"}, 0},
		"then accepted": {1, []string{"b refuses 2", "again", "b accepts 2"}, 3},
	} {
		for where, from := range map[string]func(l *trail) ([]queue.Middleware, []queue.Definition){
			"of the Config": func(l *trail) ([]queue.Middleware, []queue.Definition) {
				return retrying(l), []queue.Definition{queue.NewTask("a", fn), queue.NewTask("b", fn, queue.Use(refusing(l, "b", c.times)...))}
			},
			"of the same task": func(l *trail) ([]queue.Middleware, []queue.Definition) {
				return nil, []queue.Definition{queue.NewTask("a", fn), queue.NewTask("b", fn, queue.Use(append(retrying(l), refusing(l, "b", c.times)...)...))}
			},
			"of another task": func(l *trail) ([]queue.Middleware, []queue.Definition) {
				return nil, []queue.Definition{queue.NewTask("a", fn, queue.Use(retrying(l)...)), queue.NewTask("b", fn, queue.Use(refusing(l, "b", c.times)...))}
			},
		} {
			t.Run(name+", "+where, func(t *testing.T) {
				var l trail
				all, tasks := from(&l)
				sys := newSystem(t, setup{client: queue.Config{Middleware: all}}, tasks...)
				_, err := sys.client.EnqueueMany(t.Context(), queue.Request{Task: "a", Args: 1}, queue.Request{Task: "b", Args: 2}, queue.Request{Task: "b", Args: 3})
				if c.stored == 0 != (err != nil && strings.Contains(err.Error(), "b refuses")) {
					t.Errorf("got %v", err)
				}
				wantSteps(t, &l, c.steps...)
				if n, err := sys.client.PendingCount(t.Context(), queue.Filter{}); err != nil || n != c.stored {
					t.Errorf("%d rows, %v; want %d", n, err, c.stored)
				}
			})
		}
	}
}

func TestMiddlewareThatCallsNextAgainBypassesNoOtherForAnOccurrence(t *testing.T) {
	for times, enqueued := range map[int]int{1: 1, 2: 0} {
		synctest.Test(t, func(t *testing.T) {
			var l trail
			task := queue.NewTask("t", func(context.Context, int) (any, error) { return nil, nil }, queue.Use(refusing(&l, "quota", times)...))
			sys := newSystem(t, setup{client: queue.Config{Middleware: retrying(&l)}}, task, queue.Every("report", "@hourly", task, 1))
			sys.tick(0)
			time.Sleep(time.Hour)
			ticked, err := sys.client.Tick(t.Context(), 0)
			if err != nil || ticked.Enqueued != enqueued || ticked.Failed != 1-enqueued {
				t.Errorf("refused %d times: %+v %v", times, ticked, err)
			}
			wantEqual(t, "steps", len(l.take()), 3)
		})
	}
}

// The store is called once: what comes after a failure of it has its error, too.
func TestMiddlewareThatCallsNextAgainAfterTheStoreGetsItsError(t *testing.T) {
	var l trail
	sys := newSystem(t, setup{client: queue.Config{Middleware: retrying(&l)}}, task(func(context.Context) (any, error) { return nil, nil }))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := sys.client.Enqueue(ctx, "t", nil)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "has called next again") {
		t.Errorf("got %v", err)
	}
	wantSteps(t, &l, "again")
}

// One of several calls at once stores the rows, and none after the enqueue has returned.
func TestMiddlewareThatCallsNextAtOnceStoresOnce(t *testing.T) {
	var late func() error
	sys := newSystem(t, setup{client: queue.Config{Middleware: enqueueing(func(ctx context.Context, rows []*queue.Row, next queue.EnqueueFunc) error {
		if string(rows[0].Args) == `"late"` {
			late = func() error { return next(ctx, rows) }
			return errors.New("given up")
		}
		errs := make([]error, 8)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() { errs[i] = next(ctx, rows) })
		}
		all.Wait()
		for _, err := range errs {
			if err == nil {
				return nil
			}
		}
		return errors.Join(errs...)
	})}}, task(func(context.Context) (any, error) { return nil, nil }))
	sys.enqueue("t", "at once")
	_, err := sys.client.Enqueue(t.Context(), "t", "late")
	wantEqual(t, "error", fmt.Sprint(err), "given up")
	if err := late(); err == nil || !strings.Contains(err.Error(), "has called next again") {
		t.Errorf("late: %v", err)
	}
	if n, err := sys.client.PendingCount(t.Context(), queue.Filter{}); err != nil || n != 1 {
		t.Errorf("%d rows, %v; want 1", n, err)
	}
}

// A step of the first call that still runs fails the attempt, and not the task.
func TestMiddlewareThatCallsNextAgainWhileAStepRunsMayBeRetried(t *testing.T) {
	ends, ended := make(chan struct{}), make(chan error)
	work := task(func(ctx context.Context) (any, error) {
		started := make(chan struct{})
		result := make(chan error, 1)
		go func() {
			_, err := queue.Step(ctx, "a", func(context.Context) (int, error) { close(started); <-ends; return 1, nil })
			result <- err
		}()
		select {
		case <-started:
			go func() { ended <- <-result }()
			return nil, errors.New("given up")
		case err := <-result:
			return nil, err
		}
	})
	sys := newSystem(t, setup{client: queue.Config{Middleware: running(func(ctx context.Context, row *queue.Row, next queue.RunFunc) error {
		_ = next(ctx, row)
		err := next(ctx, row)
		close(ends)
		if stepped := <-ended; stepped != nil {
			t.Errorf("the step: %v", stepped)
		}
		return err
	})}}, work)
	run := sys.run(sys.enqueue("t", nil))
	if run.Row.Status != queue.StatusReady || !strings.Contains(fmt.Sprint(run.Row.Errors), "still runs, from an earlier call") {
		t.Errorf("%s %v", run.Row.Status, run.Row.Errors)
	}
}

// Middleware that retries within the attempt repeats no step that has ended.
func TestMiddlewareThatCallsNextAgainSkipsTheStoredSteps(t *testing.T) {
	var stepped, called int
	work := func(ctx context.Context, _ any) (any, error) {
		first, err := queue.Step(ctx, "first", func(context.Context) (int, error) { stepped++; return stepped, nil })
		if err != nil {
			return nil, err
		}
		if called++; called%2 == 1 {
			return nil, errors.New("flaky")
		}
		if _, err := queue.Step(ctx, "first", func(context.Context) (int, error) { return 0, nil }); !errors.Is(err, queue.ErrInvalid) {
			t.Errorf("a name that is used twice in one call: %v", err)
		}
		return first, nil
	}
	again := func(next queue.Func[any, any]) queue.Func[any, any] {
		return func(ctx context.Context, in any) (any, error) {
			out, err := next(ctx, in)
			if err != nil {
				out, err = next(ctx, in)
			}
			return out, err
		}
	}
	sys := newSystem(t, setup{},
		queue.NewTask("use", work, queue.Use(running(func(ctx context.Context, row *queue.Row, next queue.RunFunc) error {
			if err := next(ctx, row); err == nil {
				t.Error("the first call has succeeded")
			}
			return next(ctx, row)
		})...)),
		queue.NewTask("around", work, queue.Around(again)))
	for _, name := range []string{"use", "around"} {
		stepped, called = 0, 0
		run := sys.run(sys.enqueue(name, nil))
		if run.Outcome != queue.OutcomeSucceeded || string(run.Row.ReturnValue) != "1" || stepped != 1 || called != 2 || run.Row.Attempts != 1 {
			t.Errorf("%s: %s %v, stepped %d times in %d calls", name, run.Outcome, run.Err, stepped, called)
		}
	}
}
