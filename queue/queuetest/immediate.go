package queuetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Immediate makes a client that runs each due task once inside its Enqueue: when
// Enqueue returns, the row shows how that attempt ended. The executor, which it also
// returns, can run what is left, such as a second attempt. Immediate sets
// cfg.Dispatcher, which must be nil.
func Immediate(cfg queue.Config) (*queue.Client, *queue.Executor, error) {
	if cfg.Dispatcher != nil {
		return nil, nil, errors.New("queuetest: Immediate sets Config.Dispatcher: leave it nil")
	}
	d := &immediate{now: time.Now}
	if store, ok := cfg.Store.(queue.Clocked); ok {
		d.now = store.Now
	}
	cfg.Dispatcher = d
	client, err := queue.NewClient(cfg)
	if err != nil {
		return nil, nil, err
	}
	// Tasks that enqueue others run inside one another.
	d.executor, err = queue.NewExecutor(client, queue.ExecutorConfig{Concurrency: 1000})
	return client, d.executor, err
}

type immediate struct {
	executor *queue.Executor
	now      func() time.Time
}

func (d *immediate) Dispatch(ctx context.Context, tickets ...queue.Ticket) error {
	for _, ticket := range tickets {
		if ticket.DueAt.After(d.now()) {
			continue
		}
		if _, err := d.executor.RunByID(ctx, ticket.ID, queue.RunOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// Recorder is a [queue.Dispatcher] that runs nothing and records the tickets. Its
// zero value is ready to use; it is safe for concurrent use.
type Recorder struct {
	mu      sync.Mutex
	tickets []queue.Ticket
}

// Dispatch records the tickets. It never fails.
func (r *Recorder) Dispatch(_ context.Context, tickets ...queue.Ticket) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tickets = append(r.tickets, tickets...)
	return nil
}

// Tickets returns the dispatched tickets, oldest first. The slice is the caller's.
func (r *Recorder) Tickets() []queue.Ticket {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.tickets)
}
