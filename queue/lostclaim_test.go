package queue_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// mute is a store whose claims take effect, but whose first answers are lost.
type mute struct {
	queue.Store
	lost   atomic.Int32 // answers that still get lost
	before func()       // is called before each Claim; may be nil
	sent   []uuid.UUID  // the claim IDs of all calls of Claim
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
	m.sent = append(m.sent, r.ClaimID)
	if m.before != nil {
		m.before()
	}
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

// Once the lease of a claim has expired, the row no longer has its ID: the same request
// would claim the row for the second time, under an ID that was used before.
func TestARequestWhoseAnswerWasLostIsNotSentAgain(t *testing.T) {
	for name, again := range map[string]func(*testing.T, queue.Store, uuid.UUID){
		"taken back": func(t *testing.T, store queue.Store, _ uuid.UUID) {
			if p, err := store.Promote(t.Context(), 10); err != nil || !p.Claimable {
				t.Errorf("%+v, %v", p, err)
			}
		},
		"claimed and retried by another worker": func(t *testing.T, store queue.Store, id uuid.UUID) {
			row, err := store.Claim(t.Context(), id, queue.ClaimRequest{Tasks: []string{"t"}, Worker: "other", Lease: time.Minute, ClaimID: queue.NewClaimID()})
			if err != nil {
				t.Error(err)
				return
			}
			if err := store.Retry(t.Context(), row.Claim(), queue.Retry{}); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const lease = 2 * time.Second
				store := &mute{Store: newStore(t)}
				var ran []uuid.UUID
				sys := newSystem(t, setup{store: store, exec: queue.ExecutorConfig{Lease: lease}, client: queue.Config{Hooks: queue.Hooks{
					Started: func(_ context.Context, row *queue.Row) { ran = append(ran, row.ClaimID) },
				}}}, task(func(ctx context.Context) (any, error) {
					select {
					case <-ctx.Done():
						return nil, context.Cause(ctx)
					case <-time.After(lease * 3 / 4): // of the second claim
						return nil, nil
					}
				}))
				id := sys.enqueue("t", nil)
				store.lost.Store(1)
				store.before = func() {
					if len(store.sent) == 2 { // the process was stopped before it sent this one
						time.Sleep(lease)
						again(t, store.Store, id)
					}
				}
				if run := sys.run(id); run.Outcome != queue.OutcomeSucceeded {
					t.Errorf("%+v", run)
				}
				if len(store.sent) != 2 || store.sent[0] == store.sent[1] || len(ran) != 1 || ran[0] != store.sent[1] {
					t.Errorf("sent %v, run %v", store.sent, ran)
				}
				if err := sys.exec.Shutdown(t.Context(), time.Second); err != nil { // the first request counts as on its way for a while
					t.Error(err)
				}
			})
		})
	}
}

// slowMute is mute with a slow network: each statement that undoes claims takes a while.
type slowMute struct {
	mute
	undone atomic.Int32 // statements
}

func (m *slowMute) Unclaim(ctx context.Context, claims ...queue.Claim) error {
	time.Sleep(15 * time.Millisecond)
	m.undone.Add(1)
	return m.Store.Unclaim(ctx, claims...)
}

func (m *slowMute) Claim(ctx context.Context, id uuid.UUID, r queue.ClaimRequest) (*queue.Row, error) {
	row, err := m.Store.Claim(ctx, id, r)
	if err == nil {
		err = m.lose()
	}
	return row, err
}

// After an outage in which the answers to all claims were lost, the rows do not wait until
// each claim of each delivery was undone by itself.
func TestLostClaimsOfManyDeliveriesAreUndoneTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const deliveries = 40
		store := &slowMute{mute: mute{Store: newStore(t)}}
		store.lost.Store(math.MaxInt32)
		sys := newSystem(t, setup{store: store, exec: queue.ExecutorConfig{Concurrency: deliveries}}, task(func(context.Context) (any, error) { return nil, nil }))
		var ids []uuid.UUID
		var group sync.WaitGroup
		for range deliveries {
			id := sys.enqueue("t", nil, queue.MaxAttempts(1))
			ids = append(ids, id)
			group.Go(func() {
				if _, err := sys.exec.RunByID(t.Context(), id, queue.RunOptions{}); !errors.Is(err, queue.ErrUnavailable) {
					t.Errorf("%v", err)
				}
			})
		}
		group.Wait()
		store.lost.Store(0)
		time.Sleep(2 * time.Second)
		for _, id := range ids {
			if row := sys.row(id); row.Status != queue.StatusReady || row.Attempts != 0 {
				t.Errorf("2 s later: %s, %d attempts", row.Status, row.Attempts)
				break
			}
		}
		if n := store.undone.Load(); n > 40 {
			t.Errorf("%d statements have undone claims", n)
		}
		sys.shutdown()
	})
}

// latePull is a store of which the first request of a pull takes long, and whose second one is
// carried out after its answer was lost.
type latePull struct {
	*sqlitestore.Store
	t    *testing.T
	late bool
}

func (s *latePull) ClaimLimited(ctx context.Context, r queue.ClaimNextRequest) ([]*queue.Row, time.Duration, error) {
	if !s.late {
		time.Sleep(8 * time.Second)
	}
	return s.Store.ClaimLimited(ctx, r)
}

func (s *latePull) ClaimNext(ctx context.Context, r queue.ClaimNextRequest) ([]*queue.Row, error) {
	if s.late {
		return s.Store.ClaimNext(ctx, r)
	}
	s.late = true
	time.AfterFunc(4*time.Second, func() {
		if rows, err := s.Store.ClaimNext(context.WithoutCancel(ctx), r); err != nil || len(rows) != 1 {
			s.t.Errorf("late: %d rows, %v", len(rows), err)
		}
	})
	return nil, fmt.Errorf("%w: the connection broke", queue.ErrUnavailable)
}

// What a pull may have claimed is looked for until its latest request can no longer be on its
// way, not its first.
func TestALatePartOfAPullIsUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &latePull{Store: newStore(t), t: t}
		sys := newSystem(t, setup{store: store, exec: queue.ExecutorConfig{Concurrency: 2}},
			queue.NewTask("limited", nothing, queue.LimitRunning(5)), task(func(context.Context) (any, error) { return nil, nil }))
		if err := sys.client.ApplyLimits(t.Context()); err != nil {
			t.Fatal(err)
		}
		id := sys.enqueue("t", nil, queue.MaxAttempts(1))
		if _, err := sys.exec.Work(t.Context(), queue.WorkConfig{}); !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("%v", err)
		}
		time.Sleep(6 * time.Second)
		if row := sys.row(id); row.Status != queue.StatusReady || row.Attempts != 0 {
			t.Errorf("2 s after the late claim: %s, %d attempts", row.Status, row.Attempts)
		}
		sys.shutdown()
	})
}
