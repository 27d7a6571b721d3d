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

func echo(_ context.Context, in string) (string, error) { return in, nil }

func refuse(context.Context, string) (string, error) { return "", queue.Discard(errors.New("no")) }

// gone reports whether a task is not stored any more.
func (s *system) gone(id uuid.UUID) bool {
	s.t.Helper()
	_, err := s.client.Get(s.t.Context(), id)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		s.t.Fatal(err)
	}
	return err != nil
}

func TestTheSweeperDeletesWhatIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := newSystem(t, setup{client: queue.Config{Keep: &queue.Retention{Successful: 3 * time.Hour, Failed: 3 * time.Hour}}},
			queue.NewTask("ok", echo, queue.Keep(time.Hour, 0)), queue.NewTask("bad", refuse, queue.Keep(0, 2*time.Hour)), queue.NewTask("other", echo))
		ok, bad, other, longer := sys.enqueue("ok", "x"), sys.enqueue("bad", "x"), sys.enqueue("other", "x"), sys.enqueue("ok", "x", queue.Keep(4*time.Hour, 0))
		ids := []uuid.UUID{ok, bad, other, longer}
		for _, id := range ids {
			sys.run(id)
		}
		time.Sleep(time.Hour - time.Second)
		sys.sweep(0, queue.SweepResult{})
		time.Sleep(2 * time.Second)
		for i, id := range ids {
			sys.sweep(0, queue.SweepResult{Deleted: 1})
			for j, other := range ids {
				if sys.gone(other) != (j <= i) {
					t.Errorf("%d hours after the end: task %d is gone: %v", i+1, j, sys.gone(other))
				}
			}
			if id == longer {
				return
			}
			sys.sweep(0, queue.SweepResult{})
			time.Sleep(time.Hour)
		}
	})
}

func TestMoreThanABatchIsDeletedInOneSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := newSystem(t, setup{}, queue.NewTask("t", echo, queue.Keep(0, 0)))
		for range 25 {
			sys.run(sys.enqueue("t", "x"))
		}
		time.Sleep(queue.KeptForRepeats)
		sys.sweep(10, queue.SweepResult{Deleted: 25})
	})
}

// A worker's own promotions spare the sweeper beside it one, and it deletes nevertheless.
func TestASweeperBesideAWorkerDeletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := queue.NewLocal()
		sys := newSystem(t, setup{dispatch: local}, queue.NewTask("t", echo, queue.Keep(0, 0)))
		sys.startLocal(local)
		ctx, stop := context.WithCancel(t.Context())
		swept := make(chan struct{})
		go func() { defer close(swept); sys.client.SweepEvery(ctx, 30*time.Second) }()
		id := sys.enqueue("t", "x")
		time.Sleep(queue.KeptForRepeats - time.Second)
		if sys.gone(id) {
			t.Error("it is gone before its time")
		}
		time.Sleep(2 * time.Minute)
		if !sys.gone(id) {
			t.Error("it is still there")
		}
		stop()
		<-swept
	})
}

func TestKeepOfZeroDropsArgumentsAndResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := newSystem(t, setup{}, queue.NewTask("t", echo, queue.Keep(0, 0)), queue.NewTask("bad", refuse, queue.Keep(0, 0)))
		id := uuid.New()
		sys.enqueue("t", "secret", queue.WithID(id))
		if run := sys.run(id); string(run.Row.ReturnValue) != `"secret"` {
			t.Errorf("the run returns %s", run.Row.ReturnValue)
		}
		if row := sys.row(id); row.Status != queue.StatusSuccessful || row.ReturnValue != nil || strings.Contains(string(row.Args), "secret") || !row.Dropped() {
			t.Errorf("the row: %s, args %s, result %s", row.Status, row.Args, row.ReturnValue)
		}
		if _, err := sys.exec.RunByID(t.Context(), id, queue.RunOptions{}); !errors.Is(err, queue.ErrFinal) {
			t.Errorf("a second delivery: %v", err)
		}
		if h, err := sys.client.Enqueue(t.Context(), "t", "secret", queue.WithID(id)); err != nil || !h.Existed {
			t.Errorf("a repeated enqueue: %+v, %v", h, err)
		}
		if _, err := sys.client.Enqueue(t.Context(), "t", "other", queue.WithID(id)); !errors.Is(err, queue.ErrIDConflict) {
			t.Errorf("an enqueue of other arguments: %v", err)
		}
		bad := sys.enqueue("bad", "secret")
		sys.run(bad)
		if _, err := sys.exec.RunByID(t.Context(), bad, queue.RunOptions{AllowRetry: true}); !errors.Is(err, queue.ErrFinal) {
			t.Errorf("a retry without arguments: %v", err)
		}
		time.Sleep(queue.KeptForRepeats)
		sys.sweep(0, queue.SweepResult{Deleted: 2})
	})
}

func TestAnExpiredTaskIsNotStarted(t *testing.T) {
	ctx := t.Context()
	for name, run := range map[string]func(sys *system, id uuid.UUID){
		"a delivery": func(sys *system, id uuid.UUID) {
			var refused *queue.NotClaimedError
			if _, err := sys.exec.RunByID(ctx, id, queue.RunOptions{}); !errors.Is(err, queue.ErrExpired) || !errors.As(err, &refused) || refused.Row.Status != queue.StatusCancelled {
				sys.t.Errorf("a delivery: %v", err)
			}
		},
		"a pull": func(sys *system, _ uuid.UUID) {
			if run, err := sys.exec.ProcessOne(ctx, queue.From{}); run != nil || err != nil {
				sys.t.Errorf("a pull: %+v, %v", run, err)
			}
		},
		"a sweep": func(sys *system, _ uuid.UUID) { sys.sweep(0, queue.SweepResult{Expired: 1}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sys := newSystem(t, setup{}, queue.NewTask("t", echo, queue.ExpiresIn(time.Hour)))
				id := sys.enqueue("t", "x")
				time.Sleep(time.Hour)
				run(sys, id)
				row := sys.row(id)
				if row.Status != queue.StatusCancelled || row.Attempts != 0 || len(row.Errors) != 1 || !strings.Contains(row.Errors[0].Message, "not started before its expires_at") {
					t.Errorf("the row: %+v", row)
				}
			})
		})
	}
}

func TestATaskRunsBeforeItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failures := 0
		flaky := func(context.Context, string) (string, error) {
			if failures++; failures == 1 {
				return "", errors.New("once")
			}
			return "done", nil
		}
		sys := newSystem(t, setup{}, queue.NewTask("t", flaky))
		id := sys.enqueue("t", "x", queue.ExpiresAt(time.Now().Add(time.Hour)))
		time.Sleep(time.Hour - time.Second)
		sys.run(id)
		time.Sleep(time.Hour)
		if run := sys.run(id); run.Outcome != queue.OutcomeSucceeded { // it has started in time
			t.Errorf("the second attempt: %s", run.Outcome)
		}
	})
}

// A local worker waits for no longer than until the next task expires.
func TestALocalWorkerCancelsWhatExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := queue.NewLocal()
		sys := newSystem(t, setup{dispatch: local}, queue.NewTask("t", echo))
		sys.startLocal(local)
		at := time.Now().Add(time.Hour)
		id := uuid.Must(uuid.NewV7())
		row := &queue.Row{ID: id, Task: "t", Queue: "default", Backend: "default", Args: []byte(`"x"`), MaxAttempts: 1, ExpiresAt: at}
		if err := sys.store.Insert(t.Context(), &queue.NewRow{Row: row, Delay: 2 * time.Hour}); err != nil { // Enqueue refuses it
			t.Fatal(err)
		}
		time.Sleep(time.Hour + queue.LocalPoll*2)
		if row := sys.row(id); row.Status != queue.StatusCancelled {
			t.Errorf("the row is %s", row.Status)
		}
	})
}

func TestLifecycleOptionsAreChecked(t *testing.T) {
	sys := newSystem(t, setup{}, queue.NewTask("t", echo))
	later := time.Now().Add(time.Hour)
	for want, opts := range map[string][]queue.Option{
		"keep must be from 0 to 50 years":                                             {queue.Keep(-1, 0)},
		"for both ends of the task, not 438001h":                                      {queue.Keep(0, queue.LongestKeep+time.Hour)},
		"expires_in must be longer than 0, not -1ns":                                  {queue.ExpiresIn(-1)},
		"expires_in must be longer than 0, not 0s":                                    {queue.ExpiresIn(0)}, // and takes no default away
		"expires_at must be between the years 1970 and 9999, not in 1":                {queue.ExpiresAt(time.Time{})},
		"expires_at must be between the years 1970":                                   {queue.ExpiresAt(time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC))},
		"expires_at must be later than now":                                           {queue.ExpiresAt(time.Now().Add(-time.Second))},
		"expires_at must be later than run_after":                                     {queue.RunAfter(later), queue.ExpiresAt(later)},
		"expires_in must be longer than the delay of 1h":                              {queue.Delay(time.Hour), queue.ExpiresIn(time.Hour)},
		"expires_in must end after run_after, or the task never runs: 59m0s from now": {queue.RunAfter(later), queue.ExpiresIn(59 * time.Minute)},
		"expires_at must be later than the end of the delay of 2h":                    {queue.Delay(2 * time.Hour), queue.ExpiresAt(later)},
	} {
		if _, err := sys.client.Enqueue(t.Context(), "t", "x", opts...); !errors.Is(err, queue.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for _, opts := range [][]queue.Option{
		{queue.RunAfter(later), queue.ExpiresIn(2 * time.Hour)}, {queue.Delay(time.Minute), queue.ExpiresAt(later)}, {queue.RunAfter(time.Now().Add(-time.Hour)), queue.ExpiresIn(time.Hour)},
	} {
		if _, err := sys.client.Enqueue(t.Context(), "t", "x", opts...); err != nil {
			t.Error(err)
		}
	}
	row := sys.row(sys.enqueue("t", "x", queue.Keep(time.Millisecond, 1500*time.Millisecond)))
	if *row.Keep != (queue.Retention{Successful: time.Second, Failed: 2 * time.Second}) {
		t.Errorf("kept %+v", *row.Keep)
	}
	defer func() {
		if problem := recover(); problem == nil || !strings.Contains(problem.(string), "ExpiresAt") {
			t.Errorf("ExpiresAt as a default: %v", problem)
		}
	}()
	queue.NewTask("t", echo, queue.ExpiresAt(later))
}

// A store that would ignore an option refuses it.
func TestAStoreThatIsNoLifecycle(t *testing.T) {
	dead := queue.NewTaskFunc("dead", func(context.Context, queue.Failed) error { return nil })
	store := requiredStore{newStore(t)}
	sys := newSystem(t, setup{store: store}, queue.NewTask("t", echo), dead)
	for _, option := range []queue.Option{queue.Keep(0, 0), queue.ExpiresIn(time.Hour), queue.ExpiresAt(time.Now().Add(time.Hour)), queue.OnFailed(dead)} {
		if _, err := sys.client.Enqueue(t.Context(), "t", "x", option); !errors.Is(err, queue.ErrUnsupported) || !strings.Contains(err.Error(), "queue.Lifecycle") {
			t.Errorf("Enqueue: %v", err)
		}
	}
	for want, cfg := range map[string]queue.Config{
		"Config.Keep: ":       {Keep: new(queue.Retention)},
		"Config.MaxBacklog: ": {MaxBacklog: map[string]int{"": 1}},
	} {
		cfg.Store, cfg.Registry = store, queue.NewRegistry()
		if _, err := queue.NewClient(cfg); !errors.Is(err, queue.ErrUnsupported) || !strings.Contains(err.Error(), want) {
			t.Errorf("NewClient: %v", err)
		}
	}
}

// The key of an order is held for a day, though its row is kept for ten minutes only.
func TestKeepDoesNotFreeAKeyThatIsHeldForATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ran := 0
		pay := queue.NewTask("pay", func(context.Context, int) (int, error) { ran++; return 0, nil })
		s := newSystem(t, setup{client: queue.Config{Keep: &queue.Retention{}}}, pay)
		enqueue := func() *queue.Handle {
			h, err := s.client.Enqueue(t.Context(), "pay", 1, queue.Unique("order-1", queue.UniqueFor(24*time.Hour)))
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
		s.run(enqueue().ID)
		for range 100 {
			time.Sleep(14 * time.Minute)
			if _, err := s.client.Sweep(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			if h := enqueue(); !h.Existed || ran != 1 {
				t.Fatalf("existed %t, ran %d times", h.Existed, ran)
			}
		}
		time.Sleep(time.Hour)
		if _, err := s.client.Sweep(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if h := enqueue(); h.Existed {
			t.Error("the time is over, and the row is still there")
		}
	})
}
