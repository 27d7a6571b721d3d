package queue_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// A hook that takes long delays its own task's slot, and no other.
func TestSlowHooksRunAtOnce(t *testing.T) {
	const slots, tasks, takes = 20, 400, 100 * time.Millisecond
	for name, store := range waysToFinish {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hooks := queue.Hooks{Finished: func(context.Context, *queue.Run) { time.Sleep(takes) }}
				sys := newSystem(t, setup{store: store(t), exec: queue.ExecutorConfig{Concurrency: slots}, client: queue.Config{Hooks: hooks}}, queue.NewTask("t", nothing))
				for range tasks {
					sys.enqueue("t", nil)
				}
				began := time.Now()
				if worked, err := sys.exec.Work(t.Context(), queue.WorkConfig{}); err != nil || worked.Runs != tasks {
					t.Fatalf("%+v, %v", worked, err)
				}
				if took, least := time.Since(began), takes*tasks/slots; took > least*3/2 {
					t.Errorf("the hooks took %s; with as many at once as there are slots it would have been %s", took, least)
				}
			})
		})
	}
}

func TestAHookThatBlocksDelaysNoOtherTask(t *testing.T) {
	const tasks = 200
	for name, store := range waysToFinish {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				var hooks, runs atomic.Int32
				finished := func(context.Context, *queue.Run) {
					if hooks.Add(1) == 5 {
						<-release
					}
				}
				sys := newSystem(t, setup{store: store(t), exec: queue.ExecutorConfig{Concurrency: 10}, client: queue.Config{Hooks: queue.Hooks{Finished: finished}}}, queue.NewTask("t", nothing))
				for range tasks {
					sys.enqueue("t", nil)
				}
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					_, _ = sys.exec.Work(t.Context(), queue.WorkConfig{OnRun: func(*queue.Run) { runs.Add(1) }})
				}()
				time.Sleep(time.Minute)
				if hooks.Load() != tasks || runs.Load() != tasks-1 {
					t.Errorf("while one hook blocked, %d of %d were called and %d runs ended", hooks.Load(), tasks, runs.Load())
				}
				close(release)
				<-ended
			})
		})
	}
}

// A worker that waits for slots starts its tasks when there are some, though another
// one that needs fewer noticed first.
func TestWorkersThatShareSlotsLeaveNoneIdle(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			var began atomic.Int32
			sys := newSystem(t, setup{store: &batching{Store: newStore(t), latency: time.Millisecond}, exec: queue.ExecutorConfig{Concurrency: 4}},
				queue.NewTask("first", func(context.Context, any) (any, error) { time.Sleep(time.Second); return nil, nil }),
				queue.NewTask("a", func(context.Context, any) (any, error) { began.Add(1); time.Sleep(10 * time.Minute); return nil, nil }, queue.OnQueue("a")),
				queue.NewTask("b", func(context.Context, any) (any, error) { began.Add(1); time.Sleep(10 * time.Minute); return nil, nil }, queue.OnQueue("b")))
			for range 4 {
				sys.enqueue("first", nil)
			}
			done := make(chan struct{}, 3)
			work := func(queueName string, limit int) {
				_, err := sys.exec.Work(t.Context(), queue.WorkConfig{From: queue.From{Queues: []string{queueName}}, MaxTasks: limit, Continuous: true, Interval: time.Minute})
				if err != nil {
					t.Error(err)
				}
				done <- struct{}{}
			}
			go work("default", 4)
			time.Sleep(100 * time.Millisecond)
			sys.enqueue("a", nil)
			sys.enqueue("b", nil)
			go work("b", 1)
			go work("a", 1)
			time.Sleep(2 * time.Second)
			if began.Load() != 2 {
				t.Error("a task waits beside three free slots")
			}
			for range 3 {
				<-done
			}
		})
	}
}

// Deliveries that have just begun do not make a worker wait for the slots that are left.
func TestAWorkerThatBeginsBesideDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pulled atomic.Int32
		sys := newSystem(t, setup{exec: queue.ExecutorConfig{Concurrency: 20}},
			queue.NewTask("delivered", func(context.Context, any) (any, error) { time.Sleep(time.Hour); return nil, nil }),
			queue.NewTask("pulled", func(context.Context, any) (any, error) { pulled.Add(1); return nil, nil }, queue.OnQueue("pulled")))
		for range 19 {
			id := sys.enqueue("delivered", nil)
			go func() { _, _ = sys.exec.RunByID(t.Context(), id, queue.RunOptions{}) }()
		}
		synctest.Wait()
		sys.enqueue("pulled", nil)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = sys.exec.Work(ctx, queue.WorkConfig{From: queue.From{Queues: []string{"pulled"}}, Continuous: true, Interval: time.Minute})
		}()
		time.Sleep(time.Second)
		if pulled.Load() != 1 {
			t.Error("a task waits beside a free slot")
		}
		stop()
		<-done
		time.Sleep(2 * time.Hour)
	})
}
