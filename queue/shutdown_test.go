package queue_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// startRun runs a task in the background until the function has begun.
func (s *system) startRun(started <-chan struct{}) (id func() *queue.Row, done <-chan *queue.Run) {
	taskID := s.enqueue("t", nil)
	ended := make(chan *queue.Run, 1)
	go func() { ended <- s.run(taskID) }()
	<-started
	return func() *queue.Row { return s.row(taskID) }, ended
}

func TestShutdownLetsTasksEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := make(chan struct{})
		sys := newSystem(t, setup{}, task(func(context.Context) (any, error) {
			close(started)
			time.Sleep(3 * time.Second)
			return nil, nil
		}))
		row, done := sys.startRun(started)
		ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
		defer cancel()
		if err := sys.exec.Shutdown(ctx, time.Second); err != nil {
			t.Error(err)
		}
		if run := <-done; run.Outcome != queue.OutcomeSucceeded || row().Status != queue.StatusSuccessful {
			t.Errorf("%+v", run)
		}
		if _, err := sys.exec.RunByID(t.Context(), row().ID, queue.RunOptions{}); !errors.Is(err, queue.ErrShutdown) {
			t.Errorf("a delivery after shutdown: %v", err)
		}
	})
}

func TestShutdownReleasesWhatItInterrupts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := make(chan struct{})
		sys := newSystem(t, setup{}, task(func(ctx context.Context) (any, error) {
			close(started)
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}))
		row, done := sys.startRun(started)
		ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
		defer cancel()
		if err := sys.exec.Shutdown(ctx, time.Second); err != nil {
			t.Error(err)
		}
		run := <-done
		r := row()
		if run.Outcome != queue.OutcomeInterrupted || r.Status != queue.StatusReady || r.Attempts != 0 || r.Interruptions != 1 || len(r.Errors) != 0 || len(r.WorkerIDs) != 0 {
			t.Errorf("%+v, row %+v", run, r)
		}
	})
}

func TestShutdownRecordsAPanicAsTheTasksOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := make(chan struct{})
		sys := newSystem(t, setup{}, task(func(ctx context.Context) (any, error) {
			close(started)
			<-ctx.Done()
			panic("while stopping")
		}))
		row, done := sys.startRun(started)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_ = sys.exec.Shutdown(ended, time.Second)
		if run := <-done; run.Outcome != queue.OutcomeFailed || row().Attempts != 1 {
			t.Errorf("%+v", run)
		}
	})
}

func TestShutdownAbandonsWhatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started, end := make(chan struct{}), make(chan struct{})
		sys := newSystem(t, setup{exec: queue.ExecutorConfig{Lease: 3 * time.Second}}, task(func(context.Context) (any, error) {
			close(started)
			<-end
			return nil, nil
		}))
		row, done := sys.startRun(started)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := sys.exec.Shutdown(ctx, time.Second); err == nil {
			t.Error("Shutdown does not say that a task is left")
		}
		if run := <-done; run.Outcome != queue.OutcomeAbandoned || !errors.Is(run.Err, queue.ErrShutdown) {
			t.Errorf("%+v", run)
		}
		if r := row(); r.Status != queue.StatusRunning || r.Attempts != 1 {
			t.Errorf("the claim should be left to run out: %+v", r)
		}
		time.Sleep(5 * time.Second)
		if p, err := sys.store.Promote(t.Context(), 10); err != nil || p.Reclaimed != 1 {
			t.Errorf("it cannot be reclaimed: %+v, %v", p, err)
		}
		close(end)
	})
}

func TestTimedOutTaskThatDoesNotReturnIsAbandonedAfterALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		sys := newSystem(t, setup{exec: queue.ExecutorConfig{Lease: 3 * time.Second}}, task(func(context.Context) (any, error) {
			<-end
			return nil, nil
		}, queue.Timeout(time.Second)))
		start := time.Now()
		run := sys.run(sys.enqueue("t", nil))
		if run.Outcome != queue.OutcomeAbandoned || time.Since(start) != 4*time.Second {
			t.Errorf("%+v after %s", run, time.Since(start))
		}
		close(end)
	})
}

// slowClaims is a store whose answer to a claim is held up.
type slowClaims struct {
	queue.Store
	claimed, answer chan struct{}
}

func (s slowClaims) Claim(ctx context.Context, id uuid.UUID, r queue.ClaimRequest) (*queue.Row, error) {
	row, err := s.Store.Claim(ctx, id, r)
	close(s.claimed)
	<-s.answer
	return row, err
}

func TestShutdownCancelsATaskWhoseClaimWasUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := slowClaims{newStore(t), make(chan struct{}), make(chan struct{})}
		sys := newSystem(t, setup{store: store}, task(func(ctx context.Context) (any, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}))
		id := sys.enqueue("t", nil)
		ran := make(chan *queue.Run, 1)
		go func() { ran <- sys.run(id) }()
		<-store.claimed
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		down := make(chan error, 1)
		go func() { down <- sys.exec.Shutdown(ended, time.Minute) }()
		synctest.Wait() // the contexts of all that run have ended
		close(store.answer)
		if err := <-down; err != nil {
			t.Error(err)
		}
		if run, row := <-ran, sys.row(id); run.Outcome != queue.OutcomeInterrupted || row.Status != queue.StatusReady || row.Attempts != 0 {
			t.Errorf("%+v, %+v", run, row)
		}
	})
}
