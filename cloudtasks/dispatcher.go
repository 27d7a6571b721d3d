package cloudtasks

import (
	"context"
	"fmt"
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

	batches   BatchCreator // client, if Config.BatchCreate is set
	noBatches atomic.Bool  // batches turned out not to work here

	now    func() time.Time
	random func() float64 // in [0, 1), for jitter
}

var (
	_ queue.Dispatcher     = (*Dispatcher)(nil)
	_ queue.QueueChecker   = (*Dispatcher)(nil)
	_ queue.TimeoutChecker = (*Dispatcher)(nil)
	_ queue.Sharder        = (*Dispatcher)(nil)

	_ queue.BatchDispatcher = (*Dispatcher)(nil)
)

// New returns a Dispatcher that creates tasks through client. The error joins a
// *[ConfigError] for every field that is missing or wrong.
func New(client TaskCreator, cfg Config) (*Dispatcher, error) {
	cfg, err := cfg.check()
	if err != nil {
		return nil, err
	}
	d := &Dispatcher{client: client, cfg: cfg, now: time.Now, random: rand.Float64}
	if cfg.BatchCreate && client != nil {
		batches, ok := client.(BatchCreator)
		if !ok {
			return nil, &ConfigError{Field: "BatchCreate", Text: fmt.Sprintf("is set, but %T is no BatchCreator (*apiv2.Client is one since version 1.21)", client)}
		}
		d.batches = batches
	}
	return d, nil
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
func (d *Dispatcher) Dispatch(ctx context.Context, tickets ...queue.Ticket) error {
	if len(tickets) == 1 { // Enqueue's case needs no goroutine
		calls := callContexts{parent: ctx}
		defer calls.close()
		if err := d.dispatch(&calls, tickets[0]); err != nil {
			return &queue.DispatchError{Failed: map[uuid.UUID]error{tickets[0].ID: err}}
		}
		return nil
	}
	var failed outcomes
	d.sendAll(ctx, tickets, &failed)
	return failed.err()
}

// sendAll creates a task for each ticket. One ticket's failure does not stop the
// others.
func (d *Dispatcher) sendAll(ctx context.Context, tickets []queue.Ticket, failed *outcomes) {
	eachInLanes(ctx, d.cfg.Concurrency, len(tickets), func(calls *callContexts, i int) {
		failed.add(tickets[i].ID, d.dispatch(calls, tickets[i]))
	})
}

func (d *Dispatcher) dispatch(calls *callContexts, ticket queue.Ticket) error {
	request, err := newCreateTaskRequest(d.cfg, ticket, d.now())
	if err != nil {
		return err
	}
	return d.send(calls, request)
}

func (d *Dispatcher) send(calls *callContexts, request *cloudtaskspb.CreateTaskRequest) error {
	if err := d.create(calls, request); err != nil {
		return explain(err, d.cfg, request.GetParent())
	}
	return nil
}

// eachInLanes calls do for 0 to n-1, in up to so many goroutines as lanes says, and
// returns when all calls have. A goroutine makes one call after the other: the stack
// of a gRPC call is deep, and a goroutine for each would grow its stack anew.
func eachInLanes(ctx context.Context, lanes, n int, do func(calls *callContexts, i int)) {
	var (
		wg   sync.WaitGroup
		next atomic.Int64
	)
	for range min(lanes, n) {
		wg.Go(func() {
			calls := callContexts{parent: ctx}
			defer calls.close()
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(&calls, int(i))
			}
		})
	}
	wg.Wait()
}

// outcomes collects the errors of tickets.
type outcomes struct {
	mu   sync.Mutex
	byID map[uuid.UUID]error
}

// add notes the error of a ticket; nil is not noted.
func (o *outcomes) add(id uuid.UUID, err error) {
	if err == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.byID == nil {
		o.byID = map[uuid.UUID]error{}
	}
	o.byID[id] = err
}

// err returns the errors for the caller of Dispatch.
func (o *outcomes) err() error {
	if len(o.byID) == 0 {
		return nil
	}
	return &queue.DispatchError{Failed: o.byID}
}
