package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// task returns a task named "t" that calls f.
func task(f func(ctx context.Context) (any, error), opts ...queue.Option) queue.Definition {
	return queue.NewTask("t", func(ctx context.Context, _ json.RawMessage) (any, error) { return f(ctx) }, opts...)
}

func TestRunFinishesTheRowWithItsReturnValue(t *testing.T) {
	sys := newSystem(t, setup{exec: queue.ExecutorConfig{WorkerID: "w1"}},
		queue.NewTask("t", func(_ context.Context, in json.RawMessage) (json.RawMessage, error) { return in, nil }))
	id := sys.enqueue("t", json.RawMessage(`{"n": 12345678901234567890123, "s":"<é>"}`))
	run := sys.run(id)
	row := sys.row(id)
	if run.Outcome != queue.OutcomeSucceeded || row.Status != queue.StatusSuccessful || string(row.ReturnValue) != `{"n":12345678901234567890123,"s":"<é>"}` {
		t.Errorf("%s, row %s returned %s", run.Outcome, row.Status, row.ReturnValue)
	}
	if row.Attempts != 1 || len(row.WorkerIDs) != 1 || row.WorkerIDs[0] != "w1" || row.StartedAt.IsZero() || row.FinishedAt.IsZero() || len(row.Errors) != 0 {
		t.Errorf("%+v", row)
	}
	if run.Row.Status != row.Status || !run.Row.FinishedAt.Equal(row.FinishedAt) || string(run.Row.ReturnValue) != string(row.ReturnValue) {
		t.Errorf("the run's row %+v is not the stored one %+v", run.Row, row)
	}
	if !strings.Contains(sys.log.String(), "task succeeded") {
		t.Error("no log line")
	}
}

func TestArmingThatFailsIsSaidSoThatTheDeliveryComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := &recorder{err: errors.New("quota")}
		sys := newSystem(t, setup{dispatch: sent}, task(func(context.Context) (any, error) { return nil, queue.Snooze(time.Hour) }))
		id := sys.enqueue("t", nil)
		if row := sys.row(id); row.DispatchError != "quota" || row.DispatchDueAt.After(time.Now()) {
			t.Errorf("the failed dispatch is not on the row: %q, due for the sweeper %s", row.DispatchError, row.DispatchDueAt)
		}
		if run := sys.run(id); run.Outcome != queue.OutcomeRescheduled || run.DispatchErr == nil {
			t.Errorf("%+v", run)
		}
		if _, err := sys.exec.RunByID(t.Context(), id, queue.RunOptions{}); !errors.Is(err, queue.ErrNotArmed) {
			t.Errorf("early delivery: %v, want ErrNotArmed", err)
		}
		if !strings.Contains(sys.log.String(), "dispatch failed") {
			t.Error("not in the log")
		}
	})
}

func TestEarlyDeliveryIsArmedAgain(t *testing.T) {
	sent := &recorder{}
	sys := newSystem(t, setup{dispatch: sent}, task(func(context.Context) (any, error) { return nil, nil }, queue.Timeout(time.Minute), queue.OnQueue("q")))
	id := sys.enqueue("t", nil, queue.Delay(time.Hour))
	_, err := sys.exec.RunByID(t.Context(), id, queue.RunOptions{})
	var refused *queue.NotClaimedError
	if !errors.Is(err, queue.ErrNotDue) || !errors.As(err, &refused) || refused.Wait < 59*time.Minute {
		t.Fatalf("%v", err)
	}
	tickets := sent.sent()
	if len(tickets) != 2 || tickets[1] != tickets[0] || tickets[1].ID != id || tickets[1].Queue != "q" ||
		tickets[1].Timeout != time.Minute || !tickets[1].DueAt.Equal(sys.row(id).RunAfter) {
		t.Errorf("tickets %+v", tickets)
	}
	near := sys.enqueue("t", nil, queue.Delay(1500*time.Millisecond))
	if run := sys.run(near); run.Outcome != queue.OutcomeSucceeded {
		t.Errorf("a delivery within 2 s of its time: %+v", run)
	}
	far := sys.enqueue("t", nil, queue.Delay(40*24*time.Hour))
	if n := len(sent.sent()); n != 3 {
		t.Errorf("a row that is due in 40 days got a ticket (%d in all)", n)
	}
	if row := sys.row(far); !row.DispatchDueAt.Equal(row.RunAfter.Add(-queue.ArmWithin)) {
		t.Errorf("the sweeper is to arm it at %s, it is due at %s", row.DispatchDueAt, row.RunAfter)
	}
}

func TestHeartbeatsKeepALongTasksClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := newSystem(t, setup{exec: queue.ExecutorConfig{Lease: 3 * time.Second}}, task(func(context.Context) (any, error) {
			time.Sleep(6 * time.Minute)
			return nil, nil
		}))
		id := sys.enqueue("t", nil)
		done := make(chan *queue.Run)
		go func() { done <- sys.run(id) }()
		for range 60 {
			time.Sleep(5 * time.Second)
			_, err := sys.exec.RunByID(t.Context(), id, queue.RunOptions{})
			var refused *queue.NotClaimedError
			if !errors.As(err, &refused) || refused.Reason != queue.ErrLeased || refused.Wait > 3*time.Second {
				t.Fatalf("a duplicate delivery while it runs: %v, want ErrLeased", err)
			}
		}
		if run := <-done; run.Outcome != queue.OutcomeSucceeded {
			t.Errorf("%+v", run)
		}
	})
}

// frozen is a store whose heartbeats do not get through.
type frozen struct{ queue.Store }

func (frozen) Heartbeat(context.Context, time.Duration, ...queue.Claim) (renewed, lost []queue.Claim, err error) {
	return nil, nil, fmt.Errorf("%w: frozen", queue.ErrUnavailable)
}

func TestZombieIsCancelledAndItsFinishRefused(t *testing.T) {
	for _, stops := range []bool{true, false} {
		t.Run(fmt.Sprintf("stops with its context %t", stops), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore(t)
				var cause error
				zombie := newSystem(t, setup{store: frozen{store}, exec: queue.ExecutorConfig{Lease: 3 * time.Second, WorkerID: "zombie"}}, task(func(ctx context.Context) (any, error) {
					if stops {
						<-ctx.Done()
						cause = context.Cause(ctx)
						return nil, ctx.Err()
					}
					time.Sleep(10 * time.Second)
					return "zombie", nil
				}))
				other := newSystem(t, setup{store: store, exec: queue.ExecutorConfig{WorkerID: "other"}}, task(func(context.Context) (any, error) {
					time.Sleep(time.Minute)
					return "other", nil
				}))
				id := zombie.enqueue("t", nil)
				done := make(chan *queue.Run)
				go func() { done <- zombie.run(id) }()
				time.Sleep(3*time.Second + time.Millisecond) // the lease has ended
				stolen := make(chan *queue.Run)
				go func() { stolen <- other.run(id) }()
				synctest.Wait()
				run := <-done
				if run.Outcome != queue.OutcomeLost || stops && !errors.Is(cause, queue.ErrLeaseLost) {
					t.Errorf("zombie: %+v, cause %v", run, cause)
				}
				if row := zombie.row(id); row.Status != queue.StatusRunning || row.Attempts != 2 {
					t.Errorf("the zombie changed the row: %+v", row)
				}
				<-stolen
				row := zombie.row(id)
				if string(row.ReturnValue) != `"other"` || len(row.Errors) != 0 || len(row.WorkerIDs) != 2 {
					t.Errorf("%+v", row)
				}
			})
		})
	}
}

// unacknowledged is a store whose first finishes and retries take effect, but
// whose answers are lost.
type unacknowledged struct {
	queue.Store
	lost atomic.Int32
}

func (u *unacknowledged) Finish(ctx context.Context, c queue.Claim, f queue.Finish) (time.Time, error) {
	at, err := u.Store.Finish(ctx, c, f)
	if err == nil && u.lost.Add(-1) >= 0 {
		return time.Time{}, fmt.Errorf("%w: connection reset", queue.ErrUnavailable)
	}
	return at, err
}

func TestFinishWhoseAnswerWasLostIsRecognised(t *testing.T) {
	store := &unacknowledged{Store: newStore(t)}
	store.lost.Store(2)
	sys := newSystem(t, setup{store: store}, task(func(context.Context) (any, error) { return 1, nil }))
	id := sys.enqueue("t", nil)
	run := sys.run(id)
	if run.Outcome != queue.OutcomeSucceeded || !run.Row.FinishedAt.Equal(sys.row(id).FinishedAt) {
		t.Errorf("%+v", run)
	}
	if log := sys.log.String(); strings.Count(log, `msg="database unavailable`) != 1 || strings.Count(log, `msg="database calls succeed again`) != 1 {
		t.Errorf("an outage should be one line when it starts and one when it ends:\n%s", log)
	}
}

func TestFinishThatNeverGetsThroughIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &unacknowledged{Store: newStore(t)}
		store.lost.Store(math.MaxInt32)
		sys := newSystem(t, setup{store: store}, task(func(context.Context) (any, error) { return 1, nil }))
		start := time.Now()
		run := sys.run(sys.enqueue("t", nil))
		if run.Outcome != queue.OutcomeUnknown || !errors.Is(run.Err, queue.ErrFinishUnknown) || time.Since(start) > 20*time.Second {
			t.Errorf("%+v after %s", run, time.Since(start))
		}
	})
}

func TestRunContinuesWhenItsCallerHasGone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	sys := newSystem(t, setup{}, task(func(taskCtx context.Context) (any, error) {
		cancel()
		return nil, taskCtx.Err()
	}))
	run, err := sys.exec.RunByID(ctx, sys.enqueue("t", nil), queue.RunOptions{})
	if err != nil || run.Outcome != queue.OutcomeSucceeded {
		t.Errorf("%+v, %v", run, err)
	}
}

func TestExecutorRunsNoMoreThanItsSlots(t *testing.T) {
	started, end := make(chan struct{}), make(chan struct{})
	sys := newSystem(t, setup{exec: queue.ExecutorConfig{Concurrency: 1}}, task(func(context.Context) (any, error) {
		close(started)
		<-end
		return nil, nil
	}))
	first, second := sys.enqueue("t", nil), sys.enqueue("t", nil)
	done := make(chan *queue.Run)
	go func() { done <- sys.run(first) }()
	<-started
	if _, err := sys.exec.RunByID(t.Context(), second, queue.RunOptions{}); !errors.Is(err, queue.ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
	if row := sys.row(second); row.Attempts != 0 {
		t.Errorf("an attempt was used up: %+v", row)
	}
	close(end)
	<-done
}

func TestContextKnowsTheTask(t *testing.T) {
	var info queue.Info
	var client *queue.Client
	sys := newSystem(t, setup{}, task(func(ctx context.Context) (any, error) {
		info, _ = queue.InfoFrom(ctx)
		client = queue.ClientFrom(ctx)
		return nil, nil
	}))
	id := sys.enqueue("t", nil, queue.Priority(5), queue.OnQueue("q"))
	sys.run(id)
	if info.ID != id || info.Task != "t" || info.Queue != "q" || info.Priority != 5 || info.Attempt != 1 || info.MaxAttempts != 10 || info.EnqueuedAt.IsZero() || client != sys.client {
		t.Errorf("%+v", info)
	}
	if _, ok := queue.InfoFrom(t.Context()); ok || queue.ClientFrom(t.Context()) != nil {
		t.Error("outside a task there should be nothing")
	}
}

func TestExecutorRefusesSenselessSettings(t *testing.T) {
	sys := newSystem(t, setup{})
	for _, cfg := range []queue.ExecutorConfig{{Lease: time.Millisecond}, {Concurrency: -1}, {Timeout: -1}} {
		if _, err := queue.NewExecutor(sys.client, cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
	if _, err := sys.exec.RunByID(t.Context(), uuid.New(), queue.RunOptions{}); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("unknown ID: %v", err)
	}
}
