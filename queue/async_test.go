package queue_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// batching is a store with FinishAsync. Each of its answers takes a while.
type batching struct {
	queue.Store
	latency  time.Duration
	refuse   func(queue.Claim) error // what FinishAsync answers instead
	finishes atomic.Int32            // calls of Finish
	later    atomic.Int32            // calls of FinishAsync
}

func (b *batching) ClaimNext(ctx context.Context, r queue.ClaimNextRequest) ([]*queue.Row, error) {
	time.Sleep(b.latency)
	return b.Store.ClaimNext(ctx, r)
}

func (b *batching) Finish(ctx context.Context, c queue.Claim, f queue.Finish) (time.Time, error) {
	b.finishes.Add(1)
	return b.Store.Finish(ctx, c, f)
}

func (b *batching) FinishAsync(c queue.Claim, f queue.Finish, done func(time.Time, error)) {
	b.later.Add(1)
	go func() {
		time.Sleep(b.latency)
		if b.refuse != nil {
			if err := b.refuse(c); err != nil {
				done(time.Time{}, err)
				return
			}
		}
		done(b.Store.Finish(context.Background(), c, f))
	}()
}

// waysToFinish are the two ways in which a success is stored.
var waysToFinish = map[string]func(t *testing.T) queue.Store{
	"Finish":      func(t *testing.T) queue.Store { return newStore(t) },
	"FinishAsync": func(t *testing.T) queue.Store { return &batching{Store: newStore(t), latency: time.Millisecond} },
}

// Whatever a task does to its goroutine, the tasks after it run.
func TestTasksThatMisuseTheirGoroutineCostNoOther(t *testing.T) {
	for name, store := range waysToFinish {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				end := make(chan struct{})
				sys := newSystem(t, setup{store: store(t), exec: queue.ExecutorConfig{Concurrency: 10, Lease: 3 * time.Second}},
					queue.NewTask("t", func(context.Context, any) (any, error) { return nil, nil }),
					queue.NewTask("exits", func(context.Context, any) (any, error) { runtime.Goexit(); return nil, nil }, queue.MaxAttempts(1)),
					queue.NewTask("panics", func(context.Context, any) (any, error) { panic("oh") }, queue.MaxAttempts(1)),
					queue.NewTask("stays", func(context.Context, any) (any, error) { <-end; return nil, nil }, queue.Timeout(time.Second), queue.MaxAttempts(1)))
				ids := map[string][]uuid.UUID{}
				for i := range 300 {
					for name, each := range map[string]int{"t": 1, "exits": 10, "panics": 10, "stays": 100} {
						if i%each == 0 {
							ids[name] = append(ids[name], sys.enqueue(name, nil))
						}
					}
				}
				worked, err := sys.exec.Work(t.Context(), queue.WorkConfig{})
				if err != nil || worked.Runs != 363 {
					t.Errorf("%+v, %v", worked, err)
				}
				for name, want := range map[string]queue.Status{"t": queue.StatusSuccessful, "exits": queue.StatusFailed, "panics": queue.StatusFailed, "stays": queue.StatusRunning} {
					for _, id := range ids[name] {
						if row := sys.row(id); row.Status != want {
							t.Fatalf("%s: %+v", name, row)
						}
					}
				}
				if row := sys.row(ids["exits"][0]); !strings.Contains(row.Errors[0].Traceback+fmt.Sprint(row.Errors[0]), "Goexit") {
					t.Errorf("%+v", row.Errors)
				}
				close(end)
			})
		})
	}
}

func TestSuccessesThatFinishAsyncRefusesAreFinishedByFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &batching{Store: newStore(t), latency: time.Millisecond}
		store.refuse = func(c queue.Claim) error {
			if c.ID[15]%4 == 0 {
				return queue.ErrUnavailable
			}
			return nil
		}
		var finished sync.Map
		sys := newSystem(t, setup{store: store, exec: queue.ExecutorConfig{Concurrency: 10}, client: queue.Config{Hooks: queue.Hooks{
			Finished: func(_ context.Context, run *queue.Run) {
				if _, twice := finished.LoadOrStore(run.Row.ID, true); twice || run.Outcome != queue.OutcomeSucceeded || run.Row.FinishedAt.IsZero() {
					t.Errorf("%+v, reported before: %t", run, twice)
				}
			},
		}}}, queue.NewTask("t", func(context.Context, any) (any, error) { return 7, nil }))
		var ids []uuid.UUID
		for range 200 {
			ids = append(ids, sys.enqueue("t", nil))
		}
		var reported int
		worked, err := sys.exec.Work(t.Context(), queue.WorkConfig{OnRun: func(*queue.Run) { reported++ }})
		if err != nil || worked.Runs != len(ids) || reported != len(ids) {
			t.Errorf("%+v, %v, OnRun was called %d times", worked, err, reported)
		}
		if store.later.Load() != int32(len(ids)) || store.finishes.Load() == 0 || int(store.finishes.Load()) == len(ids) {
			t.Errorf("%d FinishAsync, %d Finish", store.later.Load(), store.finishes.Load())
		}
		for _, id := range ids {
			if row := sys.row(id); row.Status != queue.StatusSuccessful || string(row.ReturnValue) != "7" {
				t.Fatalf("%+v", row)
			}
		}
	})
}

// The slots are kept busy, whatever a statement takes: the next tasks are claimed
// while others run and finish.
//
// Which of the goroutines runs first that become ready at one time is not determined, and
// it decides when a claim is made and how many rows it has. So the bound is what holds in
// any order. Of 20 slots, each 1 ms long, and 160 tasks ahead of them: a reservation lasts
// for the claim, the run and the finish, 7 ms, and is free for up to 3 ms until a third of
// them is, at 20 a millisecond. So 180 of them start 18 tasks in a millisecond or more: nine
// in ten slots are busy. Before that, a round of claims without any ahead has to end for the
// average duration to fall. With three quarters of the tasks ahead, or claims that wait until
// half of the reservations are free, it takes 390 ms or more; without prefetching 2.7 s.
func TestSlotsAreKeptBusy(t *testing.T) {
	const latency, firstRounds = 3 * time.Millisecond, 8 // of claims until enough are made ahead
	for _, test := range []struct {
		slots, tasks int
		takes        time.Duration
	}{{20, 6000, time.Millisecond}, {20, 1000, 20 * time.Millisecond}, {100, 5000, 20 * time.Millisecond}, {100, 3000, 100 * time.Millisecond}, {4, 400, 100 * time.Millisecond}} {
		t.Run(fmt.Sprintf("%d slots, %s", test.slots, test.takes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sys := newSystem(t, setup{store: &batching{Store: newStore(t), latency: latency}, exec: queue.ExecutorConfig{Concurrency: test.slots}},
					queue.NewTask("t", func(context.Context, any) (any, error) { time.Sleep(test.takes); return nil, nil }))
				requests := make([]queue.Request, test.tasks)
				for i := range requests {
					requests[i] = queue.Request{Task: "t"}
				}
				if _, err := sys.client.EnqueueMany(t.Context(), requests...); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				if worked, err := sys.exec.Work(t.Context(), queue.WorkConfig{}); err != nil || worked.Runs != test.tasks {
					t.Fatalf("%+v, %v", worked, err)
				}
				least := test.takes * time.Duration(test.tasks/test.slots)
				most := least*10/9 + (firstRounds+1)*latency // the last finish has to be stored, too
				if took := time.Since(began); took > most {
					t.Errorf("it took %s by the clock of the test, more than %s; all slots would have been busy for %s", took, most, least)
				}
			})
		})
	}
}

// Large arguments bound a claim before its slots do; the worker claims again at once.
func TestTasksWithLargeArgumentsFillTheSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots = 30
		var running, most atomic.Int32
		store := &limitWatch{Store: newStore(t)}
		sys := newSystem(t, setup{store: store, exec: queue.ExecutorConfig{Concurrency: slots}},
			queue.NewTask("t", func(context.Context, string) (any, error) {
				most.Store(max(most.Load(), running.Add(1)))
				defer running.Add(-1)
				time.Sleep(time.Hour)
				return nil, nil
			}))
		for range slots {
			sys.enqueue("t", strings.Repeat("x", 900_000))
		}
		if _, err := sys.exec.Work(t.Context(), queue.WorkConfig{}); err != nil || most.Load() != slots {
			t.Errorf("%d ran at once, %v", most.Load(), err)
		}
		// A store may have to read the arguments of all rows that it is asked for.
		if store.limits[0] != slots || store.limits[1] > slots*2/3 {
			t.Errorf("it asked for %d rows", store.limits)
		}
	})
}

// limitWatch is a store that records how many rows it is asked for.
type limitWatch struct {
	queue.Store
	limits []int
}

func (a *limitWatch) ClaimNext(ctx context.Context, r queue.ClaimNextRequest) ([]*queue.Row, error) {
	a.limits = append(a.limits, r.Limit)
	return a.Store.ClaimNext(ctx, r)
}
