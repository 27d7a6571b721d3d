package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// slowAndBrief are tasks of ten minutes ("long") and of no time ("brief").
func slowAndBrief() []queue.Definition {
	return []queue.Definition{
		queue.NewTask("long", func(ctx context.Context, _ any) (any, error) {
			select {
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			case <-time.After(10 * time.Minute):
				return nil, nil
			}
		}),
		queue.NewTask("brief", func(context.Context, any) (any, error) { return nil, nil }),
	}
}

// startWork runs a continuous worker until the test ends.
func (s *system) startWork() {
	ctx, stop := context.WithCancel(s.t.Context())
	done := make(chan error)
	go func() {
		_, err := s.exec.Work(ctx, queue.WorkConfig{Continuous: true})
		done <- err
	}()
	s.t.Cleanup(func() {
		stop()
		s.shutdown()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
}

// learnBrief lets an executor see many brief tasks, after which it prefetches.
func (s *system) learnBrief() {
	for range 150 {
		s.enqueue("brief", nil)
	}
	time.Sleep(10 * time.Second)
}

// A full worker must not touch what it cannot run: until slots are free, a brief
// task is as it was enqueued, whatever the worker has seen before.
func TestAFullWorkerLeavesWaitingTasksAlone(t *testing.T) {
	for _, local := range []bool{false, true} {
		for _, slots := range []int{11, 24, 100} {
			for _, learned := range []bool{false, true} {
				if !learned && slots > 11 {
					continue // the other is the harder case
				}
				t.Run(fmt.Sprintf("local %t, %d slots, learned %t", local, slots, learned), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := setup{exec: queue.ExecutorConfig{Concurrency: slots}}
						var dispatcher *queue.Local
						if local {
							dispatcher = queue.NewLocal()
							s.dispatch = dispatcher
						}
						sys := newSystem(t, s, slowAndBrief()...)
						if local {
							sys.startLocal(dispatcher)
						} else {
							sys.startWork()
						}
						if learned {
							sys.learnBrief()
						}
						for range slots {
							sys.enqueue("long", nil, queue.Priority(1))
						}
						ids := []uuid.UUID{sys.enqueue("brief", nil), sys.enqueue("brief", nil, queue.MaxAttempts(1))}
						for range 9 {
							time.Sleep(time.Minute)
							for _, id := range ids {
								if row := sys.row(id); row.Status != queue.StatusReady || row.Attempts != 0 || row.Interruptions != 0 || len(row.Errors) != 0 {
									t.Fatalf("%+v", row)
								}
							}
						}
						for _, id := range ids {
							if row := sys.wait(id); row.Status != queue.StatusSuccessful || row.Attempts != 1 || row.Interruptions != 0 {
								t.Errorf("%+v", row)
							}
						}
					})
				})
			}
		}
	}
}

func TestAnIdleWorkerRunsWhatAFullOneCannot(t *testing.T) {
	for _, slots := range []int{11, 24, 100} {
		t.Run(fmt.Sprint(slots), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				full := newSystem(t, setup{exec: queue.ExecutorConfig{Concurrency: slots, WorkerID: "full"}}, slowAndBrief()...)
				full.startWork()
				full.learnBrief()
				for range slots {
					full.enqueue("long", nil)
				}
				// While the long ones have only just begun, the full worker may prefetch some.
				time.Sleep(2 * queue.LocalPoll)
				for range slots {
					full.enqueue("brief", nil)
				}
				idle := newSystem(t, setup{store: full.store, exec: queue.ExecutorConfig{WorkerID: "idle"}}, slowAndBrief()...)
				idle.startWork()
				var ids []uuid.UUID
				for range 20 {
					ids = append(ids, full.enqueue("brief", nil))
				}
				began := time.Now()
				for _, id := range ids {
					row := full.wait(id)
					if waited := time.Since(began); row.Status != queue.StatusSuccessful || !slices.Equal(row.WorkerIDs, []string{"idle"}) || waited > 2*queue.LocalPoll {
						t.Fatalf("after %s: %+v", waited, row)
					}
				}
			})
		})
	}
}

// counted is a store that counts released claims, by row, and signals.
type counted struct {
	queue.Store
	unclaims map[uuid.UUID]int
	wakes    atomic.Int32
}

func (c *counted) Wake(context.Context) error { c.wakes.Add(1); return nil }

func (c *counted) Listen(ctx context.Context, _ func()) error { <-ctx.Done(); return ctx.Err() }

func (c *counted) Unclaim(ctx context.Context, claims ...queue.Claim) error {
	for _, claim := range claims {
		c.unclaims[claim.ID]++
	}
	return c.Store.Unclaim(ctx, claims...)
}

// Alternating brief and long tasks mislead the prefetch repeatedly; yet no task is
// prefetched and released twice.
func TestNoTaskIsPrefetchedAndReleasedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counted{Store: newStore(t), unclaims: make(map[uuid.UUID]int)}
		sys := newSystem(t, setup{store: store, exec: queue.ExecutorConfig{Concurrency: 11}}, append(slowAndBrief(),
			queue.NewTask("second", func(context.Context, any) (any, error) { time.Sleep(time.Second); return nil, nil }))...)
		var ids []uuid.UUID
		for range 4 {
			for range 150 {
				ids = append(ids, sys.enqueue("brief", nil))
			}
			for range 40 {
				ids = append(ids, sys.enqueue("second", nil))
			}
		}
		time.Sleep(time.Second)
		store.wakes.Store(0)
		if _, err := sys.exec.Work(t.Context(), queue.WorkConfig{}); err != nil {
			t.Fatal(err)
		}
		if len(store.unclaims) == 0 {
			t.Error("no claim was released: the test shows nothing")
		}
		if store.wakes.Load() == 0 {
			t.Error("no other worker was woken for released claims")
		}
		for id, n := range store.unclaims {
			if n > 1 {
				t.Errorf("the claim of %s was released %d times", id, n)
			}
		}
		for _, id := range ids {
			if row := sys.row(id); row.Status != queue.StatusSuccessful || row.Attempts != 1 || row.Interruptions != 0 {
				t.Fatalf("%+v", row)
			}
		}
	})
}

// A row on its last attempt is claimed only for a free slot, and is not overtaken
// forever by those behind it.
func TestLastAttemptsAreNotPrefetchedAndNotOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &prefetchWatch{Store: newStore(t)}
		var began atomic.Int32
		var position int32
		sys := newSystem(t, setup{store: store, exec: queue.ExecutorConfig{Concurrency: 10}},
			queue.NewTask("t", func(context.Context, any) (any, error) { began.Add(1); time.Sleep(time.Millisecond); return nil, nil }),
			queue.NewTask("once", func(context.Context, any) (any, error) { position = began.Load(); return nil, nil }, queue.MaxAttempts(1)))
		for i := range 1000 {
			if i == 500 {
				sys.enqueue("once", nil)
			}
			sys.enqueue("t", nil)
		}
		if _, err := sys.exec.Work(t.Context(), queue.WorkConfig{}); err != nil {
			t.Fatal(err)
		}
		if !store.ahead.Load() {
			t.Error("nothing was prefetched: the test shows nothing")
		}
		if position < 480 || position > 550 {
			t.Errorf("it was enqueued in place 500, and began in place %d", position)
		}
	})
}

// prefetchWatch is a store that records whether a claim prefetched rows.
type prefetchWatch struct {
	queue.Store
	ahead atomic.Bool
}

func (a *prefetchWatch) ClaimNext(ctx context.Context, r queue.ClaimNextRequest) ([]*queue.Row, error) {
	rows, err := a.Store.ClaimNext(ctx, r)
	for i, row := range rows {
		if i < r.Free() {
			continue
		}
		a.ahead.Store(true)
		if row.MaxAttempts < 2 {
			return rows, errors.New("a last attempt was claimed ahead")
		}
	}
	return rows, err
}

func TestANotificationIsReceivedWhileATaskRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newWakeable()
		started := make(chan time.Time, 10)
		begin := func() { started <- time.Now() }
		sys := newSystem(t, setup{store: store},
			queue.NewTask("long", func(context.Context, any) (any, error) { begin(); time.Sleep(time.Hour); return nil, nil }),
			queue.NewTask("t", func(context.Context, any) (any, error) { begin(); return nil, nil }))
		sys.enqueue("long", nil)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := sys.exec.Work(ctx, queue.WorkConfig{Continuous: true, Interval: 24 * time.Hour})
			ended <- err
		}()
		<-started
		for range 3 {
			time.Sleep(time.Minute)
			began := time.Now()
			sys.enqueue("t", nil)
			if waited := (<-started).Sub(began); waited > time.Second {
				t.Errorf("beside a long task it began after %s", waited)
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
