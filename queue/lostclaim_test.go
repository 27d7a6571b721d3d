package queue_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// mute is a store whose claims take effect, but whose first answers are lost.
type mute struct {
	queue.Store
	lost atomic.Int32 // answers that still get lost
}

func (m *mute) lose() error {
	if m.lost.Add(-1) >= 0 {
		return fmt.Errorf("%w: the connection broke", queue.ErrUnavailable)
	}
	return nil
}

func (m *mute) ClaimNext(ctx context.Context, r queue.ClaimNextRequest) ([]*queue.Row, error) {
	rows, err := m.Store.ClaimNext(ctx, r)
	if err == nil && len(rows) > 0 && m.lose() != nil {
		return nil, fmt.Errorf("%w: the connection broke", queue.ErrUnavailable)
	}
	return rows, err
}

func (m *mute) Claim(ctx context.Context, id uuid.UUID, r queue.ClaimRequest) (*queue.Row, error) {
	row, err := m.Store.Claim(ctx, id, r)
	if err == nil {
		if err := m.lose(); err != nil {
			return nil, err
		}
	}
	return row, err
}

func TestWhatALostAnswerClaimedIsRunAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &mute{Store: newStore(t)}
		store.lost.Store(3)
		sys := newSystem(t, setup{store: store}, task(func(context.Context) (any, error) { return nil, nil }))
		sys.startWork()
		began := time.Now()
		var ids []uuid.UUID
		for range 60 {
			ids = append(ids, sys.enqueue("t", nil, queue.MaxAttempts(1)))
		}
		for _, id := range ids {
			if row := sys.wait(id); row.Status != queue.StatusSuccessful || row.Attempts != 1 || row.Interruptions != 0 {
				t.Fatalf("%+v", row)
			}
		}
		if waited := time.Since(began); waited > 5*queue.LocalPoll {
			t.Errorf("it took %s", waited)
		}
	})
}

func TestADeliveryRecognisesItsOwnClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &mute{Store: newStore(t)}
		sys := newSystem(t, setup{store: store}, task(func(context.Context) (any, error) { return "ran", nil }))
		id := sys.enqueue("t", nil, queue.MaxAttempts(1))
		store.lost.Store(2)
		if run := sys.run(id); run.Outcome != queue.OutcomeSucceeded || run.Row.Attempts != 1 {
			t.Errorf("%+v", run)
		}

		// With no answer for long the delivery is refused, and the claim released.
		id = sys.enqueue("t", nil, queue.MaxAttempts(1))
		store.lost.Store(1000)
		if _, err := sys.exec.RunByID(t.Context(), id, queue.RunOptions{}); !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		store.lost.Store(0)
		time.Sleep(time.Second)
		synctest.Wait()
		if row := sys.row(id); row.Status != queue.StatusReady || row.Attempts != 0 || row.Interruptions != 0 {
			t.Errorf("%+v", row)
		}
		if err := sys.exec.Shutdown(t.Context(), time.Second); err != nil { // waits until the claim cannot be on its way any more
			t.Error(err)
		}
	})
}
