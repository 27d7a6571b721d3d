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

// buried is a task that collects what has failed.
func buried(to *[]queue.Failed) *queue.Task[queue.Failed, any] {
	return queue.NewTaskFunc("dead", func(_ context.Context, f queue.Failed) error {
		*to = append(*to, f)
		return nil
	}, queue.OnQueue("letters"), queue.Priority(5), queue.MaxAttempts(2))
}

func TestAFinalFailureEnqueuesItsDeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []queue.Failed
		dead, out := buried(&all), &recorder{}
		fails := func(context.Context, string) (string, error) { return "", errors.New("no luck") }
		sys := newSystem(t, setup{dispatch: out}, dead,
			queue.NewTask("twice", fails, queue.MaxAttempts(2), queue.OnFailed(dead)), queue.NewTask("once", refuse, queue.OnFailed(dead), queue.Keep(0, 0)),
			queue.NewTask("fine", echo, queue.OnFailed(dead)), queue.NewTask("plain", refuse))
		twice, once, fine, plain := sys.enqueue("twice", "a"), sys.enqueue("once", "b"), sys.enqueue("fine", "c"), sys.enqueue("plain", "d")
		for _, id := range []uuid.UUID{twice, fine, plain} {
			sys.run(id)
		}
		if n := len(out.sent()); n != 4 {
			t.Fatalf("%d tickets before a final failure", n)
		}
		sys.run(twice)
		sys.run(once)
		sent := out.sent()[4:]
		if len(sent) != 2 || sent[0].Queue != "letters" {
			t.Fatalf("tickets of the letters: %+v", sent)
		}
		for _, ticket := range sent {
			if row := sys.row(ticket.ID); row.Priority != 5 || row.MaxAttempts != 2 || row.DispatchDueAt.Sub(row.EnqueuedAt) != queue.DispatchGrace {
				t.Errorf("the letter's row: %+v", row)
			}
			sys.run(ticket.ID)
		}
		if len(all) != 2 || all[0].ID != twice || all[0].Task != "twice" || string(all[0].Args) != `"a"` || all[0].Attempts != 2 || len(all[0].Errors) != 2 || all[0].Errors[1].Message != "no luck" {
			t.Errorf("letters: %+v", all)
		}
		if all[1].ID != once || string(all[1].Args) != `"b"` || all[1].Queue != queue.DefaultQueue {
			t.Errorf("the letter of a task that is not kept: %+v", all[1])
		}
	})
}

func TestALostWorkersDeadLetterIsDispatchedByTheSameSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []queue.Failed
		dead, out := buried(&all), &recorder{}
		sys := newSystem(t, setup{dispatch: out}, dead, queue.NewTask("t", echo, queue.MaxAttempts(1), queue.OnFailed(dead)))
		id := sys.enqueue("t", "x")
		if _, err := sys.store.Claim(t.Context(), id, queue.ClaimRequest{Tasks: []string{"t"}, Worker: "gone", Lease: time.Minute, ClaimID: uuid.New()}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		sys.sweep(0, queue.SweepResult{Failed: 1, Dispatched: 1})
		sys.run(out.sent()[1].ID)
		if len(all) != 1 || all[0].ID != id || all[0].Errors[0].ExceptionClassPath != "WorkerLost" {
			t.Errorf("letters: %+v", all)
		}
	})
}

func TestALetterHasRoomInEveryDatabase(t *testing.T) {
	row := &queue.Row{ID: uuid.New(), Task: "t", Args: []byte(`"` + strings.Repeat("x", 600<<10) + `"`), OnFailed: &queue.DeadLetter{Task: "dead"}}
	for range 30 {
		row.Errors = append(row.Errors, queue.AttemptError{Message: "m", Traceback: strings.Repeat("y", 16<<10), Attempt: len(row.Errors) + 1})
	}
	letter := row.Letter()
	if n := len(letter.Args); n > 80<<10 || !strings.Contains(string(letter.Args), `"args":null,"args_omitted":true`) || !strings.Contains(string(letter.Args), `"attempt":30`) {
		t.Errorf("%d bytes", n)
	}
}

func TestOnFailedNeedsItsTask(t *testing.T) {
	dead := queue.NewTaskFunc("dead", func(context.Context, queue.Failed) error { return nil })
	store := newStore(t)
	for want, registry := range map[string]*queue.Registry{
		`task "t": OnFailed names "dead", which is not registered`: queue.NewRegistry(queue.NewTask("t", echo, queue.OnFailed(dead))),
		`task "dead": OnFailed must name another task`:             queue.NewRegistry(queue.NewTaskFunc("dead", func(context.Context, queue.Failed) error { return nil }, queue.OnFailed(dead))),
	} {
		if _, err := queue.NewClient(queue.Config{Store: store, Registry: registry}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	sys := newSystem(t, setup{}, queue.NewTask("t", echo))
	if _, err := sys.client.Enqueue(t.Context(), "t", "x", queue.OnFailed(dead)); !errors.Is(err, queue.ErrInvalid) || !strings.Contains(err.Error(), "not registered") {
		t.Errorf("Enqueue: %v", err)
	}
}
