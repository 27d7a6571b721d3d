package queue_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// localSystem is a system whose tasks run in this process.
func localSystem(t *testing.T, s setup, defs ...queue.Definition) (*system, *queue.Local) {
	local := queue.NewLocal()
	s.dispatch = local
	return newSystem(t, s, defs...), local
}

func (s *system) wait(id uuid.UUID) *queue.Row {
	s.t.Helper()
	row, err := s.client.Wait(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return row
}

func TestLocalRunsAtOnceAndRetriesWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var starts []time.Duration
		begin := time.Now()
		sys, local := localSystem(t, setup{}, task(func(ctx context.Context) (any, error) {
			starts = append(starts, time.Since(begin).Round(100*time.Millisecond))
			if info, _ := queue.InfoFrom(ctx); info.Attempt < 5 {
				return nil, errors.New("not yet")
			}
			return "done", nil
		}))
		sys.startLocal(local)
		synctest.Wait()
		row := sys.wait(sys.enqueue("t", nil))
		if row.Status != queue.StatusSuccessful || row.Attempts != 5 || len(row.Errors) != 4 {
			t.Fatalf("%+v", row)
		}
		for i, least := range []time.Duration{0, 1, 3, 7, 15} {
			least *= time.Second
			if starts[i] < least || starts[i] > least+least/5 {
				t.Errorf("attempt %d began after %s, want %s and up to a tenth more for each wait", i+1, starts[i], least)
			}
		}
	})
}

func TestLocalWaitsForRunAfterToTheInstant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys, local := localSystem(t, setup{}, task(func(context.Context) (any, error) { return nil, nil }))
		sys.startLocal(local)
		for _, delay := range []time.Duration{5 * time.Minute, 3 * time.Second, 12345 * time.Millisecond} {
			begin := time.Now()
			row := sys.wait(sys.enqueue("t", nil, queue.Delay(delay)))
			if waited := row.StartedAt.Sub(begin); waited < delay || waited > delay+10*time.Millisecond {
				t.Errorf("due after %s, begun after %s", delay, waited)
			}
		}
	})
}

func TestLocalTakesHighPriorityFirstThenFirstCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []int
		sys, local := localSystem(t, setup{exec: queue.ExecutorConfig{Concurrency: 1}},
			queue.NewTask("n", func(_ context.Context, n int) (int, error) { order = append(order, n); return n, nil }))
		for n, priority := range []int{0, -5, 7, 0, 100, 7, -100} {
			sys.enqueue("n", n, queue.Priority(priority))
			time.Sleep(time.Millisecond)
		}
		sys.startLocal(local)
		time.Sleep(time.Second)
		synctest.Wait()
		if want := []int{4, 2, 5, 0, 3, 1, 6}; !slices.Equal(order, want) {
			t.Errorf("ran %v, want %v", order, want)
		}
	})
}

func TestLocalRunsManyAtOnceButNoMoreThanAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most, ran atomic.Int32
		sys, local := localSystem(t, setup{exec: queue.ExecutorConfig{Concurrency: 3}}, task(func(context.Context) (any, error) {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			ran.Add(1)
			return nil, nil
		}))
		sys.startLocal(local)
		for range 20 {
			sys.enqueue("t", nil)
		}
		time.Sleep(7*time.Second + 500*time.Millisecond)
		if ran.Load() != 20 || most.Load() != 3 {
			t.Errorf("%d ran, at most %d at once; want 20 in 7 s, 3 at once", ran.Load(), most.Load())
		}
	})
}

func TestLocalPicksUpWhatAnEarlierProcessLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := "sqlite:" + filepath.Join(t.TempDir(), "tasks.db")
		open := func() *sqlitestore.Store {
			store, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: path})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := store.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			return store
		}
		first := open()
		sys := newSystem(t, setup{store: first}, queue.NewTask("n", func(_ context.Context, n int) (int, error) { return n, nil }))
		ready, delayed, running := sys.enqueue("n", 1), sys.enqueue("n", 2, queue.Delay(time.Minute)), sys.enqueue("n", 3)
		lost := sys.enqueue("n", 4, queue.MaxAttempts(1))
		for _, id := range []uuid.UUID{running, lost} { // claimed by a process that then dies
			_, err := first.Claim(t.Context(), id, queue.ClaimRequest{Tasks: []string{"n"}, Worker: "dead", Lease: 30 * time.Second, ClaimID: uuid.New()})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}

		second := open()
		t.Cleanup(func() { _ = second.Close() })
		begin := time.Now()
		sys, local := localSystem(t, setup{store: second}, queue.NewTask("n", func(_ context.Context, n int) (int, error) { return n, nil }))
		sys.startLocal(local)
		for id, least := range map[uuid.UUID]time.Duration{ready: 0, delayed: time.Minute, running: 30 * time.Second} {
			row := sys.wait(id)
			waited := row.LastAttemptedAt.Sub(begin)
			if row.Status != queue.StatusSuccessful || waited < least-time.Second || waited > least+time.Second {
				t.Errorf("%s after %s, want SUCCESSFUL after %s: %+v", row.Status, waited, least, row)
			}
		}
		row := sys.wait(lost)
		if row.Status != queue.StatusFailed || len(row.Errors) != 1 || row.Errors[0].ExceptionClassPath != "WorkerLost" {
			t.Errorf("the last attempt's worker died: %+v", row)
		}
	})
}

func TestLocalFindsWhatAnotherProcessEnqueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys, local := localSystem(t, setup{}, task(func(context.Context) (any, error) { return nil, nil }))
		sys.startLocal(local)
		time.Sleep(time.Minute)
		elsewhere := newSystem(t, setup{store: sys.store}, task(func(context.Context) (any, error) { return nil, nil }))
		begin := time.Now()
		row := sys.wait(elsewhere.enqueue("t", nil))
		if waited := row.StartedAt.Sub(begin); waited > queue.LocalPoll {
			t.Errorf("found after %s", waited)
		}
	})
}

// flickering is a store that is down while its switch is on, and counts calls.
type flickering struct {
	queue.Store
	down   atomic.Bool
	mu     sync.Mutex
	asked  int
	claims int
}

func (f *flickering) Promote(ctx context.Context, limit int) (queue.PromoteResult, error) {
	f.mu.Lock()
	f.asked++
	f.mu.Unlock()
	if f.down.Load() {
		return queue.PromoteResult{}, queue.ErrUnavailable
	}
	return f.Store.Promote(ctx, limit)
}

func (f *flickering) ClaimNext(ctx context.Context, r queue.ClaimNextRequest) ([]*queue.Row, error) {
	f.mu.Lock()
	f.claims++
	f.mu.Unlock()
	if f.down.Load() {
		return nil, queue.ErrUnavailable
	}
	return f.Store.ClaimNext(ctx, r)
}

func TestIdleLocalAsksTwelveTimesAMinuteAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flickering{Store: newStore(t)}
		sys, local := localSystem(t, setup{store: store}, task(func(context.Context) (any, error) { return nil, nil }))
		sys.enqueue("t", nil, queue.Delay(24*time.Hour))
		sys.startLocal(local)
		time.Sleep(time.Minute)
		synctest.Wait()
		store.mu.Lock()
		asked, claims := store.asked, store.claims
		store.asked, store.claims = 0, 0
		store.mu.Unlock()
		t.Logf("first minute: %d and %d", asked, claims)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		store.mu.Lock()
		defer store.mu.Unlock()
		if n := store.asked + store.claims; n > 120 {
			t.Errorf("%d statements in ten idle minutes, want 120 at most", n)
		}
	})
}

func TestLocalComesBackAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flickering{Store: newStore(t)}
		sys, local := localSystem(t, setup{store: store}, task(func(context.Context) (any, error) { return nil, nil }))
		sys.startLocal(local)
		elsewhere := newSystem(t, setup{store: store.Store}, task(func(context.Context) (any, error) { return nil, nil }))
		for outage := range 10 {
			store.down.Store(true)
			time.Sleep(time.Minute + time.Duration(outage)*700*time.Millisecond)
			id := elsewhere.enqueue("t", nil) // nothing wakes the loop
			store.down.Store(false)
			begin := time.Now()
			if row := sys.wait(id); row.Status != queue.StatusSuccessful || time.Since(begin) > 2*time.Second {
				t.Errorf("%s %s after outage %d", row.Status, time.Since(begin), outage)
			}
		}
	})
}

// lockedRow is a store with a row that is due and that another transaction has
// locked: promotion sees it and cannot change it.
type lockedRow struct {
	queue.Store
	looks atomic.Int32
}

func (l *lockedRow) Promote(ctx context.Context, limit int) (queue.PromoteResult, error) {
	l.looks.Add(1)
	p, err := l.Store.Promote(ctx, limit)
	p.Next = time.Microsecond
	return p, err
}

func TestLocalDoesNotSpinOnALockedRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &lockedRow{Store: newStore(t)}
		sys, local := localSystem(t, setup{store: store}, task(func(context.Context) (any, error) { return nil, nil }))
		sys.startLocal(local)
		time.Sleep(time.Minute)
		if n := store.looks.Load(); n > 80 {
			t.Errorf("%d looks in a minute", n)
		}
		began := time.Now()
		if row := sys.wait(sys.enqueue("t", nil)); row.StartedAt.Sub(began) > 100*time.Millisecond {
			t.Errorf("a task that is dispatched beside it began after %s", row.StartedAt.Sub(began))
		}
		began = time.Now()
		if row := sys.wait(sys.enqueue("t", nil, queue.Delay(3*time.Second))); row.StartedAt.Sub(began) > 5*time.Second {
			t.Errorf("a delayed task beside it began after %s", row.StartedAt.Sub(began))
		}
	})
}
