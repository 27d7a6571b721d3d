package queue_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

func (s *system) pause(name string) queue.GateResult {
	s.t.Helper()
	result, err := s.client.PauseQueue(s.t.Context(), queue.GateRequest{Queue: name, Actor: "ann", Reason: "the provider is down"}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

func (s *system) resume(name string) queue.GateResult {
	s.t.Helper()
	result, err := s.client.ResumeQueue(s.t.Context(), queue.GateRequest{Queue: name, Actor: "bob"}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

// A resume dispatches what has no ticket any more: a task whose delivery was refused, and
// one that should have been claimed by now. Any other still has its ticket.
func TestResumeDispatchesWhatHasNoTicket(t *testing.T) {
	out := &recorder{}
	sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
	refused, waiting := sys.enqueue("t", nil), sys.enqueue("t", nil)
	if result := sys.pause("default"); !result.Changed || result.Rows != 2 || result.More || result.Gate.PausedBy != "ann" {
		t.Errorf("pause: %+v", result)
	}
	_, err := sys.exec.RunByID(t.Context(), refused, queue.RunOptions{})
	if !errors.Is(err, queue.ErrPaused) || !strings.Contains(err.Error(), "queue default is paused") {
		t.Errorf("a delivery: %v", err)
	}
	if run, err := sys.exec.ProcessOne(t.Context(), queue.From{}); run != nil || err != nil {
		t.Errorf("a pull has run %+v, %v", run, err)
	}
	out.tickets = nil
	if swept, err := sys.client.Sweep(t.Context(), 0); err != nil || swept != (queue.SweepResult{}) || len(out.sent()) != 0 {
		t.Errorf("sweep: %+v, %v, tickets %v", swept, err, out.sent())
	}
	if result := sys.resume("default"); !result.Changed || result.Rows != 2 || result.Gate.PauseReason != "the provider is down" {
		t.Errorf("resume: %+v", result)
	}
	if sent := out.sent(); len(sent) != 1 || sent[0].ID != refused {
		t.Errorf("tickets %+v, want one for %s", sent, refused)
	}
	sys.run(refused)
	sys.run(waiting)
	if result := sys.resume("default"); result.Changed || result.Rows != 0 {
		t.Errorf("resumed again: %+v", result)
	}
	log, err := sys.operator().AuditLog(t.Context(), uuid.Nil, time.Time{}, 10)
	if err != nil || len(log) != 2 || log[0].Action != queue.AuditResume || log[0].Actor != "bob" || log[1].Action != queue.AuditPause || log[1].Target != "default: the provider is down" {
		t.Errorf("audit log: %+v, %v", log, err)
	}
}

// A resume whose tickets are refused leaves the rows to the sweeper.
func TestResumeWhoseTicketsAreRefused(t *testing.T) {
	out := &recorder{}
	sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
	id := sys.enqueue("t", nil)
	sys.pause("default")
	if _, err := sys.exec.RunByID(t.Context(), id, queue.RunOptions{}); !errors.Is(err, queue.ErrPaused) {
		t.Fatal(err)
	}
	out.err = errors.New("quota")
	if result := sys.resume("default"); result.Undispatched != 1 {
		t.Errorf("resume: %+v", result)
	}
	out.err = nil
	if swept, err := sys.client.Sweep(t.Context(), 0); err != nil || swept.Dispatched != 1 {
		t.Errorf("sweep: %+v, %v", swept, err)
	}
}

// The sweeper continues a pause and a resume whose callers have gone.
func TestTheSweeperContinuesPausesAndResumes(t *testing.T) {
	out := &recorder{}
	sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
	gone, leave := context.WithCancel(t.Context())
	leave()
	const tasks = 700 // more than one batch
	requests := make([]queue.Request, tasks)
	for i := range requests {
		requests[i] = queue.Request{Task: "t"}
	}
	if _, err := sys.client.EnqueueMany(t.Context(), requests...); err != nil {
		t.Fatal(err)
	}
	store := sys.store.(queue.Gatekeeper)
	if _, _, err := store.PauseQueue(t.Context(), "default", "ann", ""); err != nil {
		t.Fatal(err)
	}
	sweep := func() {
		t.Helper()
		if _, err := sys.client.Sweep(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	sweep()
	if n, err := store.Park(t.Context(), "default", tasks); n != 0 || err != nil {
		t.Errorf("%d rows were left to park, %v", n, err)
	}
	if _, _, err := store.ResumeQueue(t.Context(), "default"); err != nil {
		t.Fatal(err)
	}
	sweep()
	if n, _, err := store.Unpark(t.Context(), "default", tasks); n != 0 || err != nil {
		t.Errorf("%d rows were left parked, %v", n, err)
	}
	result, err := sys.client.PauseQueue(gone, queue.GateRequest{Queue: "default"}, nil)
	if err == nil && !result.More {
		t.Errorf("a caller that has gone: %+v", result)
	}
}

func TestRunNowSkipsPausedQueues(t *testing.T) {
	out := &recorder{}
	sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
	free, held := sys.enqueue("t", nil), sys.enqueue("t", nil, queue.OnQueue("emails"))
	later := sys.enqueue("t", nil, queue.OnQueue("emails"), queue.RunAfter(time.Now().Add(time.Hour)))
	sys.pause("emails")
	act := func(s queue.Selection) (queue.ActionResult, error) {
		return sys.client.Act(t.Context(), queue.ActRequest{Action: queue.ActionRun, Selection: s}, nil)
	}
	for name, c := range map[string]struct {
		selection queue.Selection
		want      queue.ActionResult
	}{
		"all":              {queue.Selection{}, queue.ActionResult{Done: 1, Paused: 2, PausedQueues: "emails"}},
		"of another queue": {queue.Selection{Queue: "default"}, queue.ActionResult{Done: 1}},
		"one":              {queue.Selection{IDs: []uuid.UUID{later}}, queue.ActionResult{Paused: 1, PausedQueues: "emails"}},
	} {
		if got, err := act(c.selection); got != c.want || err != nil {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
	if _, err := act(queue.Selection{Queue: "emails"}); !errors.Is(err, queue.ErrPaused) || !strings.Contains(err.Error(), "queue emails is paused") {
		t.Errorf("of the paused queue: %v", err)
	}
	if _, err := sys.client.CountMatching(t.Context(), queue.ActionRun, queue.Selection{Queue: "emails"}, 10); !errors.Is(err, queue.ErrPaused) {
		t.Errorf("count of the paused queue: %v", err)
	}
	if n, err := sys.client.CountMatching(t.Context(), queue.ActionRun, queue.Selection{}, 10); n != 1 || err != nil {
		t.Errorf("count of all: %d, %v", n, err)
	}
	for _, id := range []uuid.UUID{held, later} {
		if row := sys.row(id); !row.Parked() {
			t.Errorf("%s is not parked: %+v", id, row)
		}
	}
	sys.run(free)
}

// A Local runs the tasks of a resumed queue at once.
func TestLocalRunsAResumedQueue(t *testing.T) {
	local := queue.NewLocal()
	ran := make(chan struct{}, 10)
	sys := newSystem(t, setup{dispatch: local}, queue.NewTask("t", func(context.Context, any) (any, error) {
		ran <- struct{}{}
		return nil, nil
	}))
	sys.pause("default")
	sys.startLocal(local)
	sys.enqueue("t", nil)
	other := sys.enqueue("t", nil, queue.OnQueue("other"))
	<-ran
	if row := sys.row(other); row.Attempts != 1 {
		t.Errorf("the task of the other queue: %+v", row)
	}
	sys.resume("default")
	<-ran
}

// Rows that were enqueued to a paused queue and are not parked yet run as soon as it is
// resumed, too.
func TestLocalRunsAtOnceWhatWasNotParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := queue.NewLocal()
		s := newSystem(t, setup{dispatch: local}, nightly)
		s.startLocal(local)
		time.Sleep(time.Hour)
		if _, err := s.client.PauseQueue(t.Context(), queue.GateRequest{Queue: "nights"}, nil); err != nil {
			t.Fatal(err)
		}
		id := s.enqueue("t.nightly", 1)
		synctest.Wait()
		resumed, err := s.client.ResumeQueue(t.Context(), queue.GateRequest{Queue: "nights"}, nil)
		if err != nil || resumed.Rows != 0 {
			t.Fatalf("%+v %v; the test needs a row that is not parked", resumed, err)
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if row := s.row(id); row.Status != queue.StatusSuccessful {
			t.Errorf("it is %s", row.Status)
		}
	})
}

func TestQueueStates(t *testing.T) {
	sys := newSystem(t, setup{}, queue.NewTask("t", nothing))
	sys.enqueue("t", nil)
	sys.enqueue("t", nil, queue.OnQueue("z"))
	sys.pause("empty")
	states, err := sys.client.QueueStates(t.Context())
	if err != nil || len(states) != 3 {
		t.Fatalf("%+v, %v", states, err)
	}
	if s := states[0]; s.Name != "default" || s.Pending != 1 || s.Paused {
		t.Errorf("%+v", s)
	}
	if s := states[1]; s.Name != "empty" || !s.Paused || s.PausedBy != "ann" || s.PausedAt.IsZero() || s.PauseReason != "the provider is down" {
		t.Errorf("%+v", s)
	}
	for _, name := range []string{"", "a b", strings.Repeat("x", 101)} {
		if _, err := sys.client.PauseQueue(t.Context(), queue.GateRequest{Queue: name}, nil); !errors.Is(err, queue.ErrInvalid) {
			t.Errorf("queue %q: %v", name, err)
		}
	}
}

// onlyStore is a Store that has no optional interface.
type onlyStore struct{ queue.Store }

func TestAStoreThatCannotPause(t *testing.T) {
	sys := newSystem(t, setup{store: onlyStore{newStore(t)}}, queue.NewTask("t", nothing))
	if _, err := sys.client.PauseQueue(t.Context(), queue.GateRequest{Queue: "q"}, nil); !errors.Is(err, queue.ErrUnsupported) {
		t.Errorf("pause: %v", err)
	}
	if _, err := sys.client.Gates(t.Context()); !errors.Is(err, queue.ErrUnsupported) {
		t.Errorf("gates: %v", err)
	}
	if _, err := sys.client.Sweep(t.Context(), 0); err != nil {
		t.Errorf("sweep: %v", err)
	}
}
