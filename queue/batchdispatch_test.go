package queue_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
)

// batchRecorder is a BatchDispatcher that notes how many tickets each call had.
type batchRecorder struct {
	recorder
	calls string
}

func (b *batchRecorder) Dispatch(ctx context.Context, tickets ...queue.Ticket) error {
	b.calls += fmt.Sprintf("single %d ", len(tickets))
	return b.recorder.Dispatch(ctx, tickets...)
}

func (b *batchRecorder) DispatchBatch(ctx context.Context, tickets ...queue.Ticket) error {
	b.calls += fmt.Sprintf("batch %d ", len(tickets))
	return b.recorder.Dispatch(ctx, tickets...)
}

func (b *batchRecorder) want(t *testing.T, calls string) {
	t.Helper()
	if b.calls != calls {
		t.Errorf("calls %q, want %q", b.calls, calls)
	}
	b.calls = ""
}

func TestBatchesAreForEnqueueManyAndTheSweeper(t *testing.T) {
	out := &batchRecorder{}
	sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
	sys.enqueue("t", nil)
	out.want(t, "single 1 ")

	out.err = errors.New("quota")
	requests := make([]queue.Request, 5)
	for i := range requests {
		requests[i].Task = "t"
	}
	if _, err := sys.client.EnqueueMany(t.Context(), requests...); err != nil {
		t.Fatal(err)
	}
	out.want(t, "batch 5 ")

	out.err = nil
	sys.sweep(0, queue.SweepResult{Dispatched: 5})
	out.want(t, "batch 3 batch 2 ")
}

func TestBulkActionsSendTicketsSingly(t *testing.T) {
	out := &batchRecorder{}
	sys := newSystem(t, setup{dispatch: out}, task(func(context.Context) (any, error) { return nil, errors.New("no") }, queue.MaxAttempts(1)))
	for range 3 {
		sys.run(sys.enqueue("t", nil))
	}
	out.calls = ""
	if _, err := sys.client.Act(t.Context(), queue.ActRequest{Action: queue.ActionRetry, Actor: "ann", Target: "FAILED"}, nil); err != nil {
		t.Fatal(err)
	}
	out.want(t, "single 3 ")
}
