package queue_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// wakeable is a store whose rows are claimed one at a time, as soon as there are
// any, and which carries signals to one worker.
type wakeable struct {
	queue.Store
	ready  chan *queue.Row
	wakes  int
	signal chan struct{}
	broken error // the first Listen fails with it
	heard  int   // calls of Listen
}

func newWakeable() *wakeable {
	return &wakeable{ready: make(chan *queue.Row, 1000), signal: make(chan struct{}, 1000)}
}

func (w *wakeable) Wake(context.Context) error {
	w.wakes++
	w.signal <- struct{}{}
	return nil
}

func (w *wakeable) Listen(ctx context.Context, wake func()) error {
	if w.heard++; w.heard == 1 && w.broken != nil {
		return w.broken
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.signal:
			wake()
		}
	}
}

func (w *wakeable) Insert(_ context.Context, rows ...*queue.NewRow) error {
	for _, row := range rows {
		row.EnqueuedAt, row.Status = time.Now(), queue.StatusReady
		claimed := *row.Row
		w.ready <- &claimed
	}
	return nil
}

func (w *wakeable) Promote(context.Context, int) (queue.PromoteResult, error) {
	return queue.PromoteResult{}, nil
}

func (w *wakeable) ClaimNext(context.Context, queue.ClaimNextRequest) ([]*queue.Row, error) {
	select {
	case row := <-w.ready:
		row.ClaimID, row.Status = uuid.New(), queue.StatusRunning
		return []*queue.Row{row}, nil
	default:
		return nil, nil
	}
}

func (w *wakeable) Heartbeat(_ context.Context, _ time.Duration, claims ...queue.Claim) (renewed, lost []queue.Claim, err error) {
	return claims, nil, nil
}

func (w *wakeable) Finish(context.Context, queue.Claim, queue.Finish) (time.Time, error) {
	return time.Now(), nil
}

// worked is a client of store and a worker on it that looks once an hour.
func worked(t *testing.T, store *wakeable) (client *queue.Client, started chan time.Time, stop func()) {
	started = make(chan time.Time, 1000)
	task := queue.NewTask("t", func(context.Context, any) (any, error) {
		started <- time.Now()
		return nil, nil
	})
	client, err := queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(task), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	executor, err := queue.NewExecutor(client, queue.ExecutorConfig{Concurrency: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := executor.Work(ctx, queue.WorkConfig{Continuous: true, Interval: time.Hour})
		ended <- err
	}()
	return client, started, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestAnIdleWorkerIsWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newWakeable()
		client, started, stop := worked(t, store)
		defer stop()
		synctest.Wait() // it has looked, and found nothing
		for range 3 {
			enqueued := time.Now()
			if _, err := client.Enqueue(t.Context(), "t", nil); err != nil {
				t.Fatal(err)
			}
			if wait := (<-started).Sub(enqueued); wait != 0 {
				t.Errorf("it started after %s", wait)
			}
			time.Sleep(time.Minute)
		}
	})
}

// Many rows at once are few signals, and the last row is not forgotten.
func TestSignalsAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newWakeable()
		client, started, stop := worked(t, store)
		defer stop()
		synctest.Wait()
		began := time.Now()
		for range 100 {
			if _, err := client.Enqueue(t.Context(), "t", nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		for range 100 {
			<-started
		}
		if took := time.Since(began); store.wakes > 4 || took > 200*time.Millisecond {
			t.Errorf("%d signals for 100 rows in %s", store.wakes, took)
		}
	})
}

// A delayed row is no reason to wake a worker.
func TestADelayedRowWakesNoWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newWakeable()
		client, _, stop := worked(t, store)
		defer stop()
		if _, err := client.Enqueue(t.Context(), "t", nil, queue.RunAfter(time.Now().Add(time.Minute))); err != nil {
			t.Fatal(err)
		}
		if store.wakes != 0 {
			t.Errorf("%d signals", store.wakes)
		}
	})
}

func TestAWorkerThatCannotListen(t *testing.T) {
	for _, c := range []struct {
		err   error
		heard int
	}{{errors.New("the connection broke"), 2}, {errors.ErrUnsupported, 1}} {
		synctest.Test(t, func(t *testing.T) {
			store := newWakeable()
			store.broken = c.err
			_, _, stop := worked(t, store)
			time.Sleep(90 * time.Minute)
			stop()
			if store.heard != c.heard {
				t.Errorf("%v: it tried %d times to listen; want %d", c.err, store.heard, c.heard)
			}
		})
	}
}
