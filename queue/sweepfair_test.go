package queue_test

import (
	"errors"
	"strings"
	"testing"

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
