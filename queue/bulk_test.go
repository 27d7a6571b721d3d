package queue_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

func TestActRetriesAllAndDispatchesThem(t *testing.T) {
	out := &recorder{}
	sys := newSystem(t, setup{dispatch: out}, task(func(context.Context) (any, error) { return nil, errors.New("no") }, queue.MaxAttempts(1)))
	const total = 450 // more than two batches
	ids := make(map[uuid.UUID]bool)
	for range total {
		id := sys.enqueue("t", nil)
		sys.run(id)
		ids[id] = true
	}
	waiting := sys.enqueue("t", nil)
	out.tickets = nil
	var seen []int
	acted, err := sys.client.Act(t.Context(), queue.ActRequest{Action: queue.ActionRetry, Actor: "ann", Target: "FAILED"}, func(done int) { seen = append(seen, done) })
	if err != nil || acted != (queue.ActionResult{Done: total}) || len(seen) != 3 || seen[2] != total {
		t.Errorf("%+v, %v, progress %v", acted, err, seen)
	}
	for _, ticket := range out.sent() {
		delete(ids, ticket.ID)
	}
	if len(ids) != 0 || sys.row(waiting).Status != queue.StatusReady {
		t.Errorf("%d rows were not dispatched", len(ids))
	}
	notes, err := sys.operator().AuditLog(t.Context(), uuid.Nil, time.Time{}, 10)
	if err != nil || len(notes) != 1 || notes[0].Actor != "ann" || notes[0].Action != "retry" || notes[0].Done != total || !notes[0].Ended {
		t.Errorf("audit %+v, %v", notes, err)
	}
}

func TestActSaysWhatWasNotDispatched(t *testing.T) {
	out := &recorder{err: errors.New("quota")}
	sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
	id := sys.enqueue("t", nil)
	acted, err := sys.client.Act(t.Context(), queue.ActRequest{Action: queue.ActionRun, Selection: queue.Selection{IDs: []uuid.UUID{id}}}, nil)
	if err != nil || acted != (queue.ActionResult{Done: 1, Undispatched: 1}) {
		t.Errorf("%+v, %v", acted, err)
	}
	if acted, err = sys.client.Act(t.Context(), queue.ActRequest{Action: queue.ActionCancel}, nil); err != nil || acted != (queue.ActionResult{Done: 1}) {
		t.Errorf("%+v, %v", acted, err)
	}
	notes, err := sys.operator().AuditLog(t.Context(), id, time.Time{}, 10)
	if err != nil || len(notes) != 1 || notes[0].Failed != 1 {
		t.Errorf("audit of the task: %+v, %v", notes, err)
	}
}

// What was enqueued after the operator has confirmed a count is not changed.
func TestActChangesNoMoreThanAsked(t *testing.T) {
	sys := newSystem(t, setup{}, queue.NewTask("t", nothing))
	for range 250 {
		sys.enqueue("t", nil)
	}
	for _, c := range []struct{ most, want int }{{3, 3}, {200, 200}, {40, 40}, {0, 7}, {5, 0}} {
		acted, err := sys.client.Act(t.Context(), queue.ActRequest{Action: queue.ActionCancel, Limit: c.most}, nil)
		if err != nil || acted != (queue.ActionResult{Done: c.want}) {
			t.Errorf("most %d: %+v, %v", c.most, acted, err)
		}
	}
	if _, err := sys.client.Act(t.Context(), queue.ActRequest{Action: queue.ActionCancel, Limit: -1}, nil); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("negative: %v", err)
	}
}

func TestDispatchErrorNamesNoOtherTask(t *testing.T) {
	out := &sharded{of: 1, down: map[string]bool{"shard-0": true}}
	sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
	requests := make([]queue.Request, 3)
	for i := range requests {
		requests[i].Task = "t"
	}
	handles, err := sys.client.EnqueueMany(t.Context(), requests...)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range handles {
		if said := sys.row(h.ID).DispatchError; said != "shard-0 does not exist" {
			t.Errorf("%q", said)
		}
	}
}

func TestActStopsWithItsContext(t *testing.T) {
	sys := newSystem(t, setup{}, queue.NewTask("t", nothing))
	sys.enqueue("t", nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if acted, err := sys.client.Act(ctx, queue.ActRequest{Action: queue.ActionCancel}, nil); err == nil || acted.Done != 0 {
		t.Errorf("ended before it began: %+v, %v", acted, err) // it could not be audited
	}
	for range 400 {
		sys.enqueue("t", nil)
	}
	ctx, cancel = context.WithCancel(t.Context())
	acted, err := sys.client.Act(ctx, queue.ActRequest{Action: queue.ActionCancel}, func(int) { cancel() })
	if err != nil || !acted.More || acted.Done != 200 {
		t.Errorf("%+v, %v", acted, err)
	}
	if _, err := sys.client.Act(t.Context(), queue.ActRequest{Action: "explode"}, nil); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("unknown action: %v", err)
	}
}
