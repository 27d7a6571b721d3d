package queuetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// mostRuns bounds what one Drain runs; a variable for tests.
var mostRuns = 10_000

// Drain runs all tasks that are due, one after the other in the order of claims, among
// them the occurrences of schedules and what the tasks enqueue, until none is left. It
// returns the runs, also those that failed: a task that is to be retried later is READY
// and not due. Tasks of all queues and backends run.
//
// It ends the test if the store fails, and after 10,000 runs, since tasks that enqueue
// themselves without a delay would never end.
func Drain(t testing.TB, c *queue.Client) []*queue.Run {
	t.Helper()
	runs, _ := drain(t, c, newExecutor(t, c))
	return runs
}

func drain(t testing.TB, c *queue.Client, e *queue.Executor) (runs []*queue.Run, refused bool) {
	t.Helper()
	refused = tick(t, c).Failed > 0
	for {
		run, err := e.ProcessOne(t.Context(), queue.From{})
		switch {
		case err != nil:
			t.Fatalf("queuetest: running what is due: %v", err)
		case run == nil:
			return runs, refused
		}
		if runs = append(runs, run); len(runs) > mostRuns {
			t.Fatalf("queuetest: more than %d tasks have run and others are due, so they may enqueue one another without end: %s", mostRuns, names(runs))
		}
	}
}

// names counts runs by the names of their tasks.
func names(runs []*queue.Run) string {
	counts := make(map[string]int)
	for _, run := range runs {
		counts[run.Row.Task]++
	}
	return counted(counts)
}

func counted(counts map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d × %s", counts[name], name))
	}
	return strings.Join(parts, ", ")
}

func newExecutor(t testing.TB, c *queue.Client) *queue.Executor {
	t.Helper()
	e, err := queue.NewExecutor(c, queue.ExecutorConfig{WorkerID: "queuetest", Concurrency: 1})
	if err != nil {
		t.Fatalf("queuetest: %v", err)
	}
	return e
}

// tick enqueues the occurrences of schedules that are due, where there can be any.
func tick(t testing.TB, c *queue.Client) queue.TickResult {
	t.Helper()
	ticked, err := c.Tick(t.Context(), 0)
	if err != nil && !errors.Is(err, queue.ErrUnsupported) {
		t.Fatalf("queuetest: enqueueing what schedules say: %v", err)
	}
	return ticked
}

// refusedTick is how long DrainFor lets pass between ticks while a schedule that is due
// cannot be enqueued.
const refusedTick = time.Minute

// DrainFor is [Drain] for a time ahead: it moves the clock of a [Store] to each time at
// which something becomes due, such as a delayed task, a retry, an occurrence of a
// schedule or a start that a limit allows, runs that, and stops when d is over. While a
// schedule that is due cannot be enqueued, for example because middleware refuses it,
// schedules are tried once a minute. The client's
// store must be a Store with a [Clock]. A negative d ends the test.
func DrainFor(t testing.TB, c *queue.Client, d time.Duration) (runs []*queue.Run) {
	t.Helper()
	if d < 0 {
		t.Fatalf("queuetest: DrainFor(%s): the time must not be negative", d)
	}
	store := clocked(t, c)
	e, end := newExecutor(t, c), store.clock.Now().Add(d)
	for range mostRuns {
		more, refused := drain(t, c, e)
		runs = append(runs, more...)
		var tickIn time.Duration
		if refused {
			tickIn = refusedTick
		}
		next, err := store.next(t.Context(), tickIn)
		if err != nil {
			t.Fatalf("queuetest: %v", err)
		}
		if next == 0 || store.clock.Now().Add(next).After(end) {
			store.clock.Set(end)
			return runs
		}
		store.clock.Advance(next)
	}
	t.Fatalf("queuetest: DrainFor has moved the clock %d times and is only at %s of %s: let less time pass at once; %d tasks have run: %s",
		mostRuns, store.clock.Now().Sub(end.Add(-d)), d, len(runs), names(runs))
	return nil
}

// clocked returns the client's store, which must have a Clock.
func clocked(t testing.TB, c *queue.Client) *Store {
	t.Helper()
	operator, err := c.Operator()
	store, ok := operator.(*Store)
	switch {
	case err == nil && !ok:
		t.Fatalf("queuetest: DrainFor moves the Clock of a queuetest.Store, and the client has a %T, whose time is its own: use Drain", operator)
	case err != nil || store.clock == nil:
		t.Fatal("queuetest: DrainFor moves the Clock of a store that was made with one, NewStore(NewClock(…)): in a synctest bubble use time.Sleep and Drain")
	}
	return store
}

// next is how long it is until something is due; 0 if nothing is. A tick is not due before
// tickIn.
func (s *Store) next(ctx context.Context, tickIn time.Duration) (next time.Duration, err error) {
	err = s.with(ctx, "look ahead", func(now time.Time) error {
		var p queue.PromoteResult
		s.look(&p, now)
		waiting := s.find(len(s.rows), inClaimOrder, func(r *row) bool { return r.Status == queue.StatusReady && r.hold >= limited })
		for _, d := range []time.Duration{p.Next, max(p.NextTick, tickIn), s.room(now, nil).shortest(waiting)} {
			if d > 0 && (next == 0 || d < next) {
				next = d
			}
		}
		return nil
	})
	return next, err
}

// RunOne runs the next due task, highest priority first, and returns its run. It ends the
// test if none is due, and says what waits.
func RunOne(t testing.TB, c *queue.Client) *queue.Run {
	t.Helper()
	tick(t, c)
	run, err := newExecutor(t, c).ProcessOne(t.Context(), queue.From{})
	switch {
	case err != nil:
		t.Fatalf("queuetest: running the next task: %v", err)
	case run == nil:
		t.Fatalf("queuetest: no task is due; %s", waiting(t, c))
	}
	return run
}

// waiting describes the tasks that have not ended.
func waiting(t testing.TB, c *queue.Client) string {
	t.Helper()
	var parts []string
	for _, view := range []queue.View{queue.ViewPending, queue.ViewDelayed, queue.ViewRunning} {
		for _, row := range (reader{t, c, nil}).list(queue.Selection{View: view}, 10) {
			parts = append(parts, describe(row)+whyLeft(c, row))
		}
	}
	if len(parts) == 0 {
		return "none waits for a later time, either"
	}
	return "there are:\n  " + strings.Join(parts, "\n  ")
}

// whyLeft says why this client does not run a task that may be due.
func whyLeft(c *queue.Client, row *queue.Row) string {
	switch {
	case row.Status != queue.StatusReady:
	case !runs(c, row.Task):
		return ", whose function this client does not have: the name is not registered, or only declared"
	case !c.Knows(row):
		return ", encrypted with key " + row.KeyID + ", which this client does not have"
	}
	return ""
}

// runs reports whether a client has the function of a task, under its name or an alias.
func runs(c *queue.Client, name string) bool {
	task, known := registered(c, name)
	return known && task.Runnable
}

// registered describes a task of a client by its name or an alias.
func registered(c *queue.Client, name string) (task queue.TaskInfo, known bool) {
	for _, task := range c.Registry().Tasks() {
		if task.Name == name || slices.Contains(task.Aliases, name) {
			return task, true
		}
	}
	return task, false
}

// describe describes a row in one line.
func describe(row *queue.Row) string {
	text := fmt.Sprintf("%s %s %s", row.ID, row.Task, row.Status)
	if at := cmp.Or(row.RetryAt, row.RunAfter); row.Status == queue.StatusReady && !at.IsZero() {
		text += " not before " + at.Format(time.RFC3339)
	}
	if row.Attempts > 0 {
		text += fmt.Sprintf(" after %d of %d attempts", row.Attempts, row.MaxAttempts)
	}
	if row.ErrorText != "" {
		text += ": " + row.ErrorText
	}
	return text
}

// Run enqueues a task, runs it once in this process, and returns what it returned. Its
// arguments and its result are encoded and decoded as in production, and its timeout
// applies. The error is that of the attempt, whether or not the task would be retried; a
// panic is a [*queue.PanicError].
func Run[In, Out any](t testing.TB, c *queue.Client, task *queue.Task[In, Out], in In, opts ...queue.Option) (Out, error) {
	t.Helper()
	var none Out
	handle, err := task.Enqueue(t.Context(), c, in, opts...)
	if err != nil {
		return none, err
	}
	run, err := newExecutor(t, c).RunByID(t.Context(), handle.ID, queue.RunOptions{})
	switch {
	case err != nil:
		return none, err
	case run.Err != nil:
		return none, run.Err
	}
	return task.Result(t.Context(), c, handle.ID)
}
