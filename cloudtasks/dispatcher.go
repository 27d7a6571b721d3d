package cloudtasks

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"github.com/google/uuid"
	"github.com/googleapis/gax-go/v2"

	"github.com/claimcheck-go/claimcheck/queue"
)

// TaskCreator is the part of the Cloud Tasks client that a Dispatcher uses.
// *apiv2.Client of cloud.google.com/go/cloudtasks is one; see Dial.
type TaskCreator interface {
	CreateTask(context.Context, *cloudtaskspb.CreateTaskRequest, ...gax.CallOption) (*cloudtaskspb.Task, error)
}

// Dispatcher creates one Cloud Task for each ticket. It is a queue.Dispatcher
// and a queue.QueueChecker, and safe for concurrent use.
type Dispatcher struct {
	client TaskCreator
	cfg    Config

	now    func() time.Time
	random func() float64 // in [0, 1), for jitter
}

var (
	_ queue.Dispatcher     = (*Dispatcher)(nil)
	_ queue.QueueChecker   = (*Dispatcher)(nil)
	_ queue.TimeoutChecker = (*Dispatcher)(nil)
	_ queue.Sharder        = (*Dispatcher)(nil)
)

// New returns a Dispatcher that creates tasks through client. The error joins a
// *[ConfigError] for every field that is missing or wrong.
func New(client TaskCreator, cfg Config) (*Dispatcher, error) {
	cfg, err := cfg.check()
	if err != nil {
		return nil, err
	}
	return &Dispatcher{client: client, cfg: cfg, now: time.Now, random: rand.Float64}, nil
}

// CheckQueue says whether tasks of this queue can be dispatched: whether it
// has aliases, or its name can be a Cloud Tasks queue ID. It does not ask the
// service whether the queue exists.
func (d *Dispatcher) CheckQueue(name string) error {
	_, err := d.cfg.QueueIDs(name)
	return err
}

// CheckTimeout is Config.CheckTimeout.
func (d *Dispatcher) CheckTimeout(timeout time.Duration) error { return d.cfg.CheckTimeout(timeout) }

// Dispatch creates a Cloud Task for each ticket, up to Config.Concurrency at a
// time. Calls that failed in a way that may pass are repeated until ctx ends,
// five calls a ticket at most; so ctx should have a deadline,
// as that of an enqueue has.
//
// A named ticket whose task exists already counts as dispatched. The error is a
// *queue.DispatchError with the failed tickets, each error saying what to fix;
// status.Code still finds the service's answer in it. A failed create may have
// been stored all the same: its delivery is harmless.
//
// The goroutines of a Dispatch make one call after the other: the stack of a gRPC
// call is deep, and a goroutine for each ticket would grow its stack anew.
func (d *Dispatcher) Dispatch(ctx context.Context, tickets ...queue.Ticket) error {
	if len(tickets) == 1 { // Enqueue's case needs no goroutine
		calls := callContexts{parent: ctx}
		defer calls.close()
		if err := d.dispatch(&calls, tickets[0]); err != nil {
			return &queue.DispatchError{Failed: map[uuid.UUID]error{tickets[0].ID: err}}
		}
		return nil
	}
	var (
		wg     sync.WaitGroup
		next   atomic.Int64
		mu     sync.Mutex
		failed = map[uuid.UUID]error{}
	)
	for range min(d.cfg.Concurrency, len(tickets)) {
		wg.Go(func() {
			calls := callContexts{parent: ctx}
			defer calls.close()
			for i := next.Add(1) - 1; i < int64(len(tickets)); i = next.Add(1) - 1 {
				// One ticket's failure does not stop the others.
				if err := d.dispatch(&calls, tickets[i]); err != nil {
					mu.Lock()
					failed[tickets[i].ID] = err
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if len(failed) > 0 {
		return &queue.DispatchError{Failed: failed}
	}
	return nil
}

func (d *Dispatcher) dispatch(calls *callContexts, ticket queue.Ticket) error {
	request, err := newCreateTaskRequest(d.cfg, ticket, d.now())
	if err != nil {
		return err
	}
	if err := d.create(calls, request); err != nil {
		return explain(err, d.cfg, request.GetParent())
	}
	return nil
}
