package system

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// fullTask is the name of the long tasks that fill a worker, and fullFor how long one takes.
const (
	fullTask = "render_video"
	fullFor  = 2500 * time.Millisecond
)

// LongestWait runs two workers with separate connections: one that becomes
// full with long tasks, and one that has only the functions of short ones. It
// returns the longest time from when quick tasks are stored, together with the long
// ones, to the start of one of them. The first worker has only run short tasks
// before, and so claims them ahead of free slots.
func (p *postgresProduct) LongestWait(ctx context.Context, quick int) (time.Duration, error) {
	var starts starts
	short := queue.NewTask(taskName, func(context.Context, order) (any, error) {
		starts.add()
		return nil, nil
	})
	long := queue.NewTask(fullTask, func(ctx context.Context, _ order) (any, error) {
		select {
		case <-time.After(fullFor):
		case <-ctx.Done():
		}
		return nil, nil
	}, queue.Priority(queue.MaxPriority))
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	var failed atomic.Pointer[error]
	work := func(tasks ...queue.Definition) error {
		executor, done, err := p.worker(ctx, tasks)
		if err != nil {
			return err
		}
		workers.Go(func() {
			_, err := executor.Work(ctx, queue.WorkConfig{Continuous: true})
			if err = errors.Join(err, done()); err != nil {
				failed.Store(&err)
			}
		})
		return nil
	}
	if err := work(short, long); err != nil {
		return 0, err
	}
	for range 10 { // until it has learned that tasks are short
		if err := p.EnqueueBatch(ctx, quick); err != nil {
			return 0, err
		}
		if err := starts.await(ctx, quick); err != nil {
			return 0, err
		}
	}
	if err := work(short); err != nil {
		return 0, err
	}
	time.Sleep(500 * time.Millisecond) // it has looked for tasks and waits
	all := append(requests(p.Slots, fullTask), requests(quick, taskName)...)
	client, err := queue.NewClient(queue.Config{Store: p.store, Registry: queue.NewRegistry(short, long), Logger: quiet()})
	if err != nil {
		return 0, err
	}
	if _, err := client.EnqueueMany(ctx, all...); err != nil {
		return 0, err
	}
	stored := time.Now()
	if err := starts.await(ctx, quick); err != nil {
		return 0, err
	}
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return time.Since(stored), nil
}

// worker returns an executor with a separate store.
func (p *postgresProduct) worker(ctx context.Context, tasks []queue.Definition) (e *queue.Executor, done func() error, err error) {
	store, err := p.open(ctx, p.URL)
	if err != nil {
		return nil, nil, err
	}
	client, err := queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(tasks...), Logger: quiet()})
	if err == nil {
		e, err = queue.NewExecutor(client, queue.ExecutorConfig{Concurrency: p.Slots})
	}
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	return e, store.Close, nil
}

// starts counts starts of tasks.
type starts struct {
	mu     sync.Mutex
	n      int
	wanted int
	all    chan struct{} // is closed when there are so many
}

func (s *starts) add() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	s.check()
}

func (s *starts) check() {
	if s.all != nil && s.n >= s.wanted {
		close(s.all)
		s.all = nil
	}
}

// await returns when n tasks have started since the last call.
func (s *starts) await(ctx context.Context, n int) error {
	all := make(chan struct{})
	s.mu.Lock()
	s.wanted, s.all = s.wanted+n, all
	s.check()
	s.mu.Unlock()
	select {
	case <-all:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Minute):
		return fmt.Errorf("%d tasks did not start within a minute", n)
	}
}
