package cloudtasks

import (
	"context"
	"errors"
	"fmt"
	"time"

	apiv2 "cloud.google.com/go/cloudtasks/apiv2"
	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"github.com/google/uuid"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/claimcheck-go/claimcheck/queue"
)

// BatchCreator is what Config.BatchCreate requires of the client. *apiv2.Client of
// cloud.google.com/go/cloudtasks is one since version 1.21.
type BatchCreator interface {
	TaskCreator
	BatchCreateTasks(context.Context, *cloudtaskspb.BatchCreateTasksRequest, ...gax.CallOption) (*apiv2.BatchCreateTasksOperation, error)
}

const (
	// maxBatch is the service's limit for the tasks of one BatchCreateTasks.
	maxBatch = 100
	// maxBatchBytes bounds its request. The reference states no limit; gRPC servers
	// accept 4 MiB unless configured otherwise.
	maxBatchBytes = 1 << 20
	// batchWeight is how many creates a batch counts as, of Config.Concurrency.
	batchWeight = 8

	// How often the operation of a batch is read, until it ends.
	firstPoll = 10 * time.Millisecond
	maxPoll   = 500 * time.Millisecond
	// maxOperationTime bounds the wait for an operation where the context does not.
	maxOperationTime = 30 * time.Second
)

// batch is one call of BatchCreateTasks: tickets of one Cloud Tasks queue.
type batch struct {
	parent   string
	tickets  []queue.Ticket
	requests []*cloudtaskspb.CreateTaskRequest
	bytes    int
}

// DispatchBatch is Dispatch with up to a hundred tickets a call, if Config.BatchCreate
// is set: each batch is a BatchCreateTasks, whose long-running operation is followed
// until it ends or ctx does. The operation says which tasks of the batch failed, and
// those that may pass are repeated as by Dispatch. The tickets of an operation that
// has not ended in time, or whose answer does not account for them, count as failed.
//
// Where the service does not implement BatchCreateTasks, or lets its operations not be
// read, that is logged once, and this Dispatcher creates tasks one at a time from then
// on. It also does so for a ticket that is the only one of its queue.
func (d *Dispatcher) DispatchBatch(ctx context.Context, tickets ...queue.Ticket) error {
	if d.batches == nil || d.noBatches.Load() || len(tickets) < 2 {
		return d.Dispatch(ctx, tickets...)
	}
	var failed, singles outcomes
	batches := d.batchesOf(tickets, &failed)
	lanes := max(1, d.cfg.Concurrency/batchWeight)
	eachInLanes(ctx, lanes, len(batches), func(calls *callContexts, i int) {
		b := batches[i]
		if len(b.tickets) == 1 {
			failed.add(b.tickets[0].ID, d.send(calls, b.requests[0]))
			return
		}
		errs, unsupported := d.createBatch(calls, b)
		for i, ticket := range b.tickets {
			if unsupported != nil {
				singles.add(ticket.ID, unsupported)
			} else if errs[i] != nil {
				failed.add(ticket.ID, explainBatch(errs[i], d.cfg, b.parent))
			}
		}
	})
	if len(singles.byID) == 0 {
		return failed.err()
	}
	var left []queue.Ticket
	for _, ticket := range tickets {
		if err := singles.byID[ticket.ID]; err != nil {
			d.giveUpBatches(err)
			left = append(left, ticket)
		}
	}
	d.sendAll(ctx, left, &failed)
	return failed.err()
}

// giveUpBatches makes d create tasks one at a time from now on.
func (d *Dispatcher) giveUpBatches(because error) {
	if d.noBatches.CompareAndSwap(false, true) {
		d.cfg.Logger.Warn("batches of Cloud Tasks cannot be created here; this process creates tasks one at a time from now on", "error", because)
	}
}

// batchesOf divides tickets into batches by their Cloud Tasks queue, of at most
// maxBatch tickets and maxBatchBytes. Tickets that no request can be made of go into
// failed.
func (d *Dispatcher) batchesOf(tickets []queue.Ticket, failed *outcomes) []*batch {
	var batches []*batch
	open := map[string]*batch{} // by parent
	for now, i := d.now(), 0; i < len(tickets); i++ {
		request, err := newCreateTaskRequest(d.cfg, tickets[i], now)
		if err != nil {
			failed.add(tickets[i].ID, err)
			continue
		}
		size := proto.Size(request)
		b := open[request.GetParent()]
		if b == nil || len(b.tickets) == maxBatch || b.bytes+size > maxBatchBytes {
			b = &batch{parent: request.GetParent()}
			open[b.parent], batches = b, append(batches, b)
		}
		b.tickets, b.requests, b.bytes = append(b.tickets, tickets[i]), append(b.requests, request), b.bytes+size
	}
	return batches
}

// createBatch creates the tasks of a batch and returns the error of each, nil for
// those that exist. It repeats those that failed in a way that may pass, as create
// does. unsupported says that batches cannot be created here at all.
func (d *Dispatcher) createBatch(calls *callContexts, b *batch) (errs []error, unsupported error) {
	errs = make([]error, len(b.requests))
	pending := make([]int, len(b.requests)) // indexes of requests
	for i := range pending {
		pending[i] = i
	}
	request := &cloudtaskspb.BatchCreateTasksRequest{Parent: b.parent, Requests: b.requests}
	for call := 1; ; call++ {
		if request.GetRequestId() == "" {
			request.RequestId = uuid.NewString() // the same one repeats a call whose answer was lost
		}
		answers, ended, unsupported := d.createBatchOnce(calls, request)
		if unsupported != nil {
			return nil, unsupported
		}
		var again []int
		worst := codes.OK
		for k, i := range pending {
			code, retry := settleAnswer(&errs[i], answers[k], b.requests[i])
			if retry {
				again = append(again, i)
				worst = max(worst, code)
			}
		}
		if len(again) == 0 || call == maxCreateCalls || !sleep(calls.parent, d.backoff(worst, call)) {
			return errs, nil
		}
		if ended {
			request = &cloudtaskspb.BatchCreateTasksRequest{Parent: b.parent}
			for _, i := range again {
				request.Requests = append(request.Requests, b.requests[i])
			}
		}
		pending = again
	}
}

// settleAnswer sets the error of one task from the answer to a call, and reports
// whether to repeat the task.
func settleAnswer(to *error, answer error, request *cloudtaskspb.CreateTaskRequest) (code codes.Code, retry bool) {
	code = status.Code(answer)
	switch {
	case answer == nil, code == codes.AlreadyExists && request.GetTask().GetName() != "":
		*to = nil
		return codes.OK, false
	case code != codes.DeadlineExceeded || *to == nil: // an earlier answer is more useful than "deadline exceeded"
		*to = answer
	}
	_, unknown := answer.(*unknownOutcomeError)
	return code, passing(code) && !unknown
}

// createBatchOnce makes one call and follows its operation. It returns the error of
// each task, and whether the operation has ended: if not, the same request may be
// repeated under its ID.
func (d *Dispatcher) createBatchOnce(calls *callContexts, request *cloudtaskspb.BatchCreateTasksRequest) (errs []error, ended bool, unsupported error) {
	op, err := d.batches.BatchCreateTasks(calls.next(), request)
	errs = make([]error, len(request.GetRequests()))
	fill := func(err error) {
		for i := range errs {
			errs[i] = err
		}
	}
	if status.Code(err) == codes.Unimplemented {
		return nil, false, err
	}
	if err != nil {
		fill(err)
		return errs, false, nil
	}
	response, err := follow(calls, op)
	if !op.Done() {
		if code := status.Code(err); code == codes.Unimplemented || code == codes.PermissionDenied {
			return nil, false, fmt.Errorf("read operation %s: %w", op.Name(), err)
		}
		fill(&unknownOutcomeError{operation: op.Name(), cause: err})
		return errs, false, nil
	}
	meta, metaErr := op.Metadata()
	if metaErr != nil {
		meta = nil // the response alone may account for all
	}
	fill(restOf(op.Name(), len(errs), response, meta, err))
	for i, failure := range meta.GetFailedRequests() {
		if int(i) < len(errs) && i >= 0 {
			if errs[i] = status.ErrorProto(failure); errs[i] == nil {
				errs[i] = &unknownOutcomeError{operation: op.Name(), cause: errors.New("it lists the task as failed, with the code OK")}
			}
		}
	}
	return errs, true, nil
}

// restOf returns the error of those tasks of an operation that its metadata does not
// name as failed: nil if they have been created. They have been if the response has as
// many tasks, or if the operation, though its result is an error, has the state of one
// that created all or all the rest.
func restOf(operation string, n int, response *cloudtaskspb.BatchCreateTasksResponse, meta *cloudtaskspb.BatchCreateTasksMetadata, err error) error {
	failed, state := len(meta.GetFailedRequests()), meta.GetState()
	created := len(response.GetTasks())
	switch {
	case err == nil && created == n-failed:
		return nil
	case err == nil:
		err = fmt.Errorf("it reports %d tasks as created and %d as failed, of %d", created, failed, n)
	case state == cloudtaskspb.BatchCreateTasksMetadata_SUCCEEDED,
		state == cloudtaskspb.BatchCreateTasksMetadata_PARTIALLY_SUCCEEDED && failed > 0:
		return nil
	}
	if _, answered := status.FromError(err); answered {
		return err
	}
	return &unknownOutcomeError{operation: operation, cause: err}
}

// follow reads an operation until it ends. The error is the operation's if it has
// ended, else that of the last attempt to read it.
func follow(calls *callContexts, op *apiv2.BatchCreateTasksOperation) (*cloudtaskspb.BatchCreateTasksResponse, error) {
	ctx, cancel := context.WithTimeout(calls.parent, maxOperationTime)
	defer cancel()
	for wait := firstPoll; ; wait = min(2*wait, maxPoll) {
		response, err := op.Poll(calls.next())
		if op.Done() || err != nil && !passing(status.Code(err)) {
			return response, err
		}
		if !sleep(ctx, wait) {
			if err == nil {
				err = status.Error(codes.DeadlineExceeded, "it has not ended in time")
			}
			return nil, err
		}
	}
}

// unknownOutcomeError is the error of tasks of which an operation does not say
// whether they exist.
type unknownOutcomeError struct {
	operation string
	cause     error
}

func (e *unknownOutcomeError) Error() string {
	return fmt.Sprintf("the outcome of operation %s is not known: %v", e.operation, e.cause)
}

func (e *unknownOutcomeError) Unwrap() error { return e.cause }

// explainBatch is explain, but for an outcome that is not known: what its error's code
// means for a create would mislead.
func explainBatch(err error, cfg Config, parent string) error {
	if unknown, ok := err.(*unknownOutcomeError); ok {
		return fmt.Errorf("create Cloud Tasks in %s: %w; the tasks may exist all the same, and the sweeper sends them again", parent, unknown)
	}
	return explain(err, cfg, parent)
}
