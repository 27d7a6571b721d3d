package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// unreachable is a store that claims nothing and releases nothing while it is gone.
type unreachable struct {
	queue.Store
	gone    atomic.Bool
	refuses bool // at once; else it does not answer
	undone  time.Time
}

func (u *unreachable) fail(ctx context.Context) error {
	if !u.gone.Load() {
		return nil
	}
	if !u.refuses {
		<-ctx.Done()
	}
	return fmt.Errorf("%w: the database is gone", queue.ErrUnavailable)
}

func (u *unreachable) Claim(ctx context.Context, id uuid.UUID, r queue.ClaimRequest) (*queue.Row, error) {
	row, err := u.Store.Claim(ctx, id, r)
	if gone := u.fail(ctx); gone != nil { // the claim was made
		return nil, gone
	}
	return row, err
}

func (u *unreachable) Unclaim(ctx context.Context, claims ...queue.Claim) error {
	if err := u.fail(ctx); err != nil {
		return err
	}
	if u.undone.IsZero() {
		u.undone = time.Now()
	}
	return u.Store.Unclaim(ctx, claims...)
}

// A shutdown without a deadline ends although the database does not answer, when no task
// is running any more; until then it waits for the tasks.
func TestShutdownWaitsForLostClaimsForABoundedTime(t *testing.T) {
	const linger = 2 * time.Second
	for name, c := range map[string]struct {
		lease, running, back, want time.Duration // back: when the database answers again; 0: never
		refuses, fails             bool
	}{
		"no answer":              {lease: time.Minute, want: 20*time.Second + linger, fails: true},
		"no connection":          {lease: time.Minute, want: 20 * time.Second, refuses: true, fails: true},
		"a short lease":          {lease: 3 * time.Second, want: 3*time.Second + linger, fails: true},
		"a task is running":      {lease: time.Minute, running: 5 * time.Minute, want: 5*time.Minute + 20*time.Second + linger, fails: true},
		"an answer in that time": {lease: time.Minute, back: 15 * time.Second, want: 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &unreachable{Store: newStore(t), refuses: c.refuses}
				sys := newSystem(t, setup{store: store, exec: queue.ExecutorConfig{Lease: c.lease, Concurrency: 2}},
					task(func(ctx context.Context) (any, error) {
						select {
						case <-ctx.Done():
							return nil, context.Cause(ctx)
						case <-time.After(c.running):
							return nil, nil
						}
					}))
				ended := make(chan *queue.Run, 1)
				if c.running > 0 {
					id := sys.enqueue("t", nil)
					go func() { ended <- sys.run(id) }()
					synctest.Wait()
				}
				lost := sys.enqueue("t", nil)
				store.gone.Store(true)
				if _, err := sys.exec.RunByID(t.Context(), lost, queue.RunOptions{}); !errors.Is(err, queue.ErrUnavailable) {
					t.Fatal(err)
				}
				if c.running > 0 {
					c.want -= 10 * time.Second // which it has run when the shutdown begins
				}
				if c.back > 0 {
					time.AfterFunc(c.back, func() { store.gone.Store(false) })
				}
				began := time.Now()
				err := sys.exec.Shutdown(t.Context(), linger)
				if (err != nil) != c.fails || c.fails && !strings.Contains(err.Error(), "some claims could be neither finished nor released, and expire with their leases") {
					t.Errorf("Shutdown: %v", err)
				}
				if took := time.Since(began); took > c.want+time.Second {
					t.Errorf("it took %s", took)
				}
				if c.running > 0 {
					if run := <-ended; run.Outcome != queue.OutcomeSucceeded {
						t.Errorf("the task that ran: %+v", run)
					}
				}
				if row := sys.row(lost); (row.Status == queue.StatusReady) == c.fails {
					t.Errorf("the task is %s", row.Status)
				}
				time.Sleep(time.Minute) // the last statement ends
			})
		})
	}
}

// With a short lease a lost claim is looked for more often, so that it is undone before the
// lease expires.
func TestALostClaimIsUndoneWithinAShortLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lease = time.Second
		store := &unreachable{Store: newStore(t)}
		sys := newSystem(t, setup{store: store, exec: queue.ExecutorConfig{Lease: lease}}, task(func(context.Context) (any, error) { return nil, nil }))
		id := sys.enqueue("t", nil)
		store.gone.Store(true)
		store.refuses = true
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_, _ = sys.exec.RunByID(ctx, id, queue.RunOptions{})
		}()
		time.Sleep(4 * time.Second) // no claim is tried again
		last := time.Now()
		time.Sleep(lease * 8 / 10)
		store.gone.Store(false)
		time.Sleep(lease)
		synctest.Wait()
		if store.undone.IsZero() || store.undone.Sub(last) >= lease {
			t.Errorf("undone after %s", store.undone.Sub(last))
		}
		cancel()
		sys.shutdown()
	})
}
