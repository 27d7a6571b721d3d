package queue_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

func TestWorkRunsWhatIsDueAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []int
		sys := newSystem(t, setup{exec: queue.ExecutorConfig{Concurrency: 1}}, queue.NewTask("n", func(_ context.Context, n int) (int, error) {
			order = append(order, n)
			if n < 0 {
				return 0, errors.New("negative")
			}
			return n, nil
		}))
		for n, priority := range []int{0, 5, 0, 9} {
			sys.enqueue("n", n, queue.Priority(priority))
			time.Sleep(time.Millisecond)
		}
		sys.enqueue("n", -1, queue.MaxAttempts(1), queue.Priority(-1))
		sys.enqueue("n", -2, queue.Priority(-2)) // will be retried, later
		sys.enqueue("n", 4, queue.Delay(time.Hour))
		sys.enqueue("n", 5, queue.OnQueue("other"))
		start := time.Now()
		worked, err := sys.exec.Work(t.Context(), queue.WorkConfig{From: queue.From{Queues: []string{"default"}}})
		if err != nil || worked.Runs != 6 || worked.Failed != 1 {
			t.Errorf("%+v, %v", worked, err)
		}
		if want := []int{3, 1, 0, 2, -1, -2}; !slices.Equal(order, want) {
			t.Errorf("ran %v, want %v", order, want)
		}
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("took %s", took)
		}
	})
}

func TestWorkEndsAfterMaxTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ran atomic.Int32
		sys := newSystem(t, setup{exec: queue.ExecutorConfig{Concurrency: 4}}, task(func(context.Context) (any, error) {
			ran.Add(1)
			time.Sleep(time.Second)
			return nil, nil
		}))
		for range 10 {
			sys.enqueue("t", nil)
		}
		worked, err := sys.exec.Work(t.Context(), queue.WorkConfig{MaxTasks: 7, Continuous: true})
		if err != nil || worked.Runs != 7 || ran.Load() != 7 {
			t.Errorf("%+v, %v, %d ran", worked, err, ran.Load())
		}
	})
}

func TestContinuousWorkLooksEveryIntervalWithJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flickering{Store: newStore(t)}
		var ran atomic.Int32
		sys := newSystem(t, setup{store: store}, task(func(context.Context) (any, error) { ran.Add(1); return nil, nil }))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan queue.WorkResult)
		go func() {
			worked, err := sys.exec.Work(ctx, queue.WorkConfig{Continuous: true, Interval: 10 * time.Second})
			if err != nil {
				t.Error(err)
			}
			done <- worked
		}()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		store.mu.Lock()
		if store.asked < 54 || store.asked > 61 || store.claims > 61 {
			t.Errorf("%d looks and %d claims in ten minutes at 10 s", store.asked, store.claims)
		}
		store.mu.Unlock()
		sys.enqueue("t", nil)
		sys.enqueue("t", nil, queue.Delay(time.Minute))
		time.Sleep(12 * time.Second)
		synctest.Wait()
		if ran.Load() != 1 {
			t.Errorf("%d ran after 12 s, want 1", ran.Load())
		}
		store.down.Store(true)
		time.Sleep(2 * time.Minute)
		store.down.Store(false)
		time.Sleep(12 * time.Second)
		stop()
		if worked := <-done; worked.Runs != 2 {
			t.Errorf("%+v, want 2 runs, one of them after an outage", worked)
		}
	})
}

func TestWorkThatEndsReportsAnOutage(t *testing.T) {
	store := &flickering{Store: newStore(t)}
	store.down.Store(true)
	sys := newSystem(t, setup{store: store}, task(func(context.Context) (any, error) { return nil, nil }))
	if _, err := sys.exec.Work(t.Context(), queue.WorkConfig{}); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

func TestWorkStopsWithTheExecutorAndTasksCanAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := make(chan struct{})
		sys := newSystem(t, setup{exec: queue.ExecutorConfig{Concurrency: 1}}, task(func(ctx context.Context) (any, error) {
			close(started)
			<-queue.Stopping(ctx)
			return "came to an end", nil
		}))
		id, left := sys.enqueue("t", nil), sys.enqueue("t", nil)
		done := make(chan queue.WorkResult)
		go func() {
			worked, err := sys.exec.Work(t.Context(), queue.WorkConfig{Continuous: true})
			if err != nil {
				t.Error(err)
			}
			done <- worked
		}()
		<-started
		if err := sys.exec.Shutdown(t.Context(), time.Second); err != nil {
			t.Error(err)
		}
		if worked := <-done; worked.Runs != 1 {
			t.Errorf("%+v", worked)
		}
		if sys.row(id).Status != queue.StatusSuccessful || sys.row(left).Attempts != 0 {
			t.Errorf("%+v and %+v", sys.row(id), sys.row(left))
		}
	})
}

func TestProcessRunsOneAfterTheOtherInClaimOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := newSystem(t, setup{}, queue.NewTask("n", func(_ context.Context, n int) (int, error) { time.Sleep(time.Second); return n, nil }))
		if run, err := sys.exec.ProcessOne(t.Context(), queue.From{}); run != nil || err != nil {
			t.Errorf("with nothing due: %+v, %v", run, err)
		}
		for n, priority := range []int{0, 5, 9} {
			sys.enqueue("n", n, queue.Priority(priority))
		}
		sys.enqueue("n", 3, queue.OnQueue("other"))
		runs, err := sys.exec.Process(t.Context(), 2, queue.From{Queues: []string{"default"}})
		if err != nil || len(runs) != 2 || string(runs[0].Row.ReturnValue) != "2" || string(runs[1].Row.ReturnValue) != "1" {
			t.Fatalf("%+v, %v", runs, err)
		}
		if !runs[1].Row.StartedAt.After(runs[0].Row.FinishedAt.Add(-time.Nanosecond)) {
			t.Error("the second began before the first had ended")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if runs, err := sys.exec.Process(ctx, 10, queue.From{}); err != nil || len(runs) != 1 {
			t.Errorf("%d runs within half a second, %v; want the one that was begun", len(runs), err)
		}
	})
}

// A run that has ended is counted before long: thousands of them once waited for
// it, each with its goroutine and its row.
func TestWorkCountsRunsAsTheyEnd(t *testing.T) {
	const slots, total = 4, 2000
	var begun, counted, most atomic.Int64
	sys := newSystem(t, setup{exec: queue.ExecutorConfig{Concurrency: slots}}, task(func(context.Context) (any, error) {
		most.Store(max(most.Load(), begun.Add(1)-counted.Load()))
		return nil, nil
	}))
	requests := make([]queue.Request, total)
	for i := range requests {
		requests[i].Task = "t"
	}
	if _, err := sys.client.EnqueueMany(t.Context(), requests...); err != nil {
		t.Fatal(err)
	}
	worked, err := sys.exec.Work(t.Context(), queue.WorkConfig{OnRun: func(*queue.Run) { counted.Add(1) }})
	if err != nil || worked.Runs != total {
		t.Fatalf("%+v, %v", worked, err)
	}
	// Those running, those in the channel, and one that is being counted.
	if n := most.Load(); n > 2*slots+1 {
		t.Errorf("%d runs had begun and were not counted", n)
	}
}

// Promote may take the database too long; rows that are claimable are claimed all
// the same.
func TestWorkContinuesWhenPromoteFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := queue.NewLocal()
		sys := newSystem(t, setup{store: noPromotion{newStore(t)}, dispatch: local}, queue.NewTask("t", nothing))
		for range 3 {
			sys.enqueue("t", nil)
		}
		if run, err := sys.exec.ProcessOne(t.Context(), queue.From{}); err != nil || run == nil {
			t.Errorf("ProcessOne: %+v, %v", run, err)
		}
		if worked, err := sys.exec.Work(t.Context(), queue.WorkConfig{MaxTasks: 2}); err != nil || worked.Runs != 2 {
			t.Errorf("Work: %+v, %v", worked, err)
		}
		if run, err := sys.exec.ProcessOne(t.Context(), queue.From{}); !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("with nothing to claim: %+v, %v", run, err)
		}
		sys.startLocal(local)
		if row := sys.wait(sys.enqueue("t", nil)); row.Status != queue.StatusSuccessful {
			t.Errorf("Local: %+v", row)
		}
	})
}
