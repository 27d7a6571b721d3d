package queue_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// One row that the database refuses to change stops neither the other parts of a
// sweep nor its tickets.
func TestAPartOfASweepThatFailsDoesNotStopTheOthers(t *testing.T) {
	out := &recorder{err: errors.New("quota")}
	store := newStore(t)
	sys := newSystem(t, setup{store: store, dispatch: out}, queue.NewTask("t", nothing), queue.NewTask("lost", nothing))
	ids := map[string]string{}
	for _, name := range []string{"lost", "expired", "stranded"} {
		task, options := "t", []queue.Option{}
		if name == "lost" {
			task, options = "lost", []queue.Option{queue.MaxAttempts(1)}
		}
		ids[name] = sys.enqueue(task, nil, options...).String()
	}
	out.err = nil
	for _, statement := range []string{
		`UPDATE claimcheck_tasks SET status = 'RUNNING', hold = 0, attempts = 1, lease_expires_at = 1, last_attempted_at = 1, dispatch_due_at = 9000000000000000 WHERE id IN ('` + ids["lost"] + `', '` + ids["expired"] + `')`,
		`CREATE TRIGGER refuse BEFORE UPDATE ON claimcheck_tasks WHEN NEW.status = 'FAILED' BEGIN SELECT RAISE(ABORT, 'not this row'); END`,
	} {
		if _, err := store.DB().ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	swept, err := sys.client.Sweep(t.Context(), 0)
	if err == nil || !strings.Contains(err.Error(), "not this row") {
		t.Errorf("error: %v", err)
	}
	if want := (queue.SweepResult{Reclaimed: 1, Dispatched: 2}); swept != want {
		t.Errorf("swept %+v, want %+v", swept, want)
	}
}

// dispatch_error is about the last ticket: a later one clears it, and its refusal
// is noted again.
func TestDispatchErrorIsThatOfTheLastTicket(t *testing.T) {
	out := &recorder{err: errors.New("first refusal")}
	sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
	id := sys.enqueue("t", nil)
	want := func(text string) {
		t.Helper()
		if got := sys.row(id).DispatchError; !strings.Contains(got, text) || text == "" && got != "" {
			t.Errorf("dispatch_error is %q, want %q", got, text)
		}
	}
	want("first refusal")
	out.err = errors.New("second refusal")
	sys.sweep(0, queue.SweepResult{Errors: 1})
	want("second refusal")
	out.err = nil
	sys.sweep(0, queue.SweepResult{Dispatched: 1})
	want("")
}

// byQueue refuses the tickets of some queues, and one task by its ID.
type byQueue struct {
	recorder
	down map[string]bool
	one  uuid.UUID
}

func (q *byQueue) Dispatch(ctx context.Context, tickets ...queue.Ticket) error {
	_ = q.recorder.Dispatch(ctx, tickets...)
	time.Sleep(time.Millisecond)
	failed := make(map[uuid.UUID]error)
	for _, ticket := range tickets {
		if q.down[ticket.Queue] || ticket.ID == q.one {
			failed[ticket.ID] = errors.New("refused")
		}
	}
	if len(failed) > 0 {
		return &queue.DispatchError{Failed: failed}
	}
	return nil
}

// of counts the tickets of each queue.
func of(tickets []queue.Ticket) map[string]int {
	n := make(map[string]int)
	for _, ticket := range tickets {
		n[ticket.Queue]++
	}
	return n
}

func TestASweepIsFairAndLeavesAFailingQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &byQueue{down: map[string]bool{"busy": true, "broken": true, "small": true}}
		sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
		for range 300 {
			sys.enqueue("t", nil, queue.OnQueue("busy"))
		}
		for range 50 {
			sys.enqueue("t", nil, queue.OnQueue("broken"))
		}
		for range 5 {
			sys.enqueue("t", nil, queue.OnQueue("small"))
		}
		out.tickets, out.down = nil, map[string]bool{"broken": true}
		sys.sweep(100, queue.SweepResult{Dispatched: 97, Errors: 3})
		if got := of(out.sent()); !maps.Equal(got, map[string]int{"busy": 92, "broken": 3, "small": 5}) {
			t.Errorf("tickets %v", got)
		}
		out.tickets, out.down = nil, nil
		sys.sweep(10_000, queue.SweepResult{Dispatched: 258})
	})
}

func TestOneRefusedRowDoesNotStopItsQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &byQueue{down: map[string]bool{"default": true}}
		sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
		out.one = sys.enqueue("t", nil)
		for range 20 {
			sys.enqueue("t", nil)
		}
		out.down = nil
		sys.sweep(0, queue.SweepResult{Dispatched: 20, Errors: 1})
	})
}

// sharded sends the tickets of a queue through channels, by the last byte of
// their IDs; some channels refuse.
type sharded struct {
	recorder
	of   int
	down map[string]bool
}

func (s *sharded) Shard(ticket queue.Ticket) (string, int) {
	return fmt.Sprint("shard-", int(ticket.ID[15])%s.of), s.of
}

func (s *sharded) Dispatch(ctx context.Context, tickets ...queue.Ticket) error {
	_ = s.recorder.Dispatch(ctx, tickets...)
	time.Sleep(time.Millisecond)
	failed := make(map[uuid.UUID]error)
	for _, ticket := range tickets {
		if name, _ := s.Shard(ticket); s.down[name] {
			failed[ticket.ID] = errors.New(name + " does not exist")
		}
	}
	if len(failed) > 0 {
		return &queue.DispatchError{Failed: failed}
	}
	return nil
}

// shardID is an ID whose tickets go through shard n.
func shardID(n byte) uuid.UUID {
	id := uuid.New()
	id[15] = n
	return id
}

func TestARefusingShardDoesNotDelayTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &sharded{of: 2, down: map[string]bool{"shard-0": true, "shard-1": true}}
		sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
		for range 40 {
			sys.enqueue("t", nil, queue.WithID(shardID(0)))
		}
		time.Sleep(time.Second)
		for range 5 {
			sys.enqueue("t", nil, queue.WithID(shardID(1)))
		}
		out.down = map[string]bool{"shard-0": true}
		sys.sweep(0, queue.SweepResult{Dispatched: 5, Errors: 40})

		// When no shard takes anything, the queue is left alone as before.
		out.down["shard-1"] = true
		for range 40 {
			sys.enqueue("t", nil, queue.WithID(shardID(0)))
			sys.enqueue("t", nil, queue.WithID(shardID(1)))
			time.Sleep(time.Millisecond)
		}
		out.tickets = nil
		swept, err := sys.client.Sweep(t.Context(), 0)
		if err != nil || swept.Dispatched != 0 || swept.Errors >= 100 {
			t.Errorf("swept %+v, %v; want no more than it takes to meet both shards", swept, err)
		}
	})
}

func TestARowRecordsTheErrorOfItsOwnShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &sharded{of: 3, down: map[string]bool{"shard-0": true, "shard-1": true}}
		sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
		items := make([]queue.Request, 9)
		for i := range items {
			items[i] = queue.Request{Task: "t", Options: []queue.Option{queue.WithID(shardID(byte(i % 3)))}}
		}
		handles, err := sys.client.EnqueueMany(t.Context(), items...)
		if err != nil {
			t.Fatal(err)
		}
		for i, handle := range handles {
			said := sys.row(handle.ID).DispatchError
			want := fmt.Sprintf("shard-%d does not exist", i%3)
			if i%3 == 2 && said != "" || i%3 < 2 && !strings.Contains(said, want) || handle.Row.DispatchError != said {
				t.Errorf("task of shard %d says %q, its handle %q", i%3, said, handle.Row.DispatchError)
			}
		}
	})
}
