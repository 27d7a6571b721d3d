package queue_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// deaf is a store whose heartbeats are not even answered.
type deaf struct{ queue.Store }

func (deaf) Heartbeat(ctx context.Context, _ time.Duration, _ ...queue.Claim) (renewed, lost []queue.Claim, err error) {
	<-ctx.Done()
	return nil, nil, ctx.Err()
}

// A function that continues after that runs beside the next attempt.
func TestContextsAreCancelledWhenLeasesExpire(t *testing.T) {
	for name, cut := range map[string]func(queue.Store) queue.Store{
		"refused":    func(s queue.Store) queue.Store { return frozen{s} },
		"unanswered": func(s queue.Store) queue.Store { return deaf{s} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan time.Duration, 3)
				sys := newSystem(t, setup{store: cut(newStore(t))}, task(func(ctx context.Context) (any, error) {
					begun := time.Now()
					<-ctx.Done()
					ended <- time.Since(begun)
					return nil, context.Cause(ctx)
				}))
				for range 3 {
					id := sys.enqueue("t", nil)
					go func() { _, _ = sys.exec.RunByID(context.Background(), id, queue.RunOptions{}) }()
					time.Sleep(7 * time.Second)
				}
				for range 3 {
					if after := <-ended; after != queue.DefaultLease {
						t.Errorf("context ended after %s", after)
					}
				}
				time.Sleep(queue.DefaultLease) // until the last heartbeat has given up
			})
		})
	}
}

// stopped is a store that answers the first heartbeat only, as for a process that is
// stopped then.
type stopped struct {
	queue.Store
	calls *atomic.Int32
}

func (s stopped) Heartbeat(ctx context.Context, lease time.Duration, claims ...queue.Claim) (renewed, lost []queue.Claim, err error) {
	if s.calls.Add(1) > 1 {
		time.Sleep(2 * lease)
		return claims, nil, nil
	}
	return s.Store.Heartbeat(ctx, lease, claims...)
}

// unrenewed is a store in which all rows are locked.
type unrenewed struct{ queue.Store }

func (unrenewed) Heartbeat(context.Context, time.Duration, ...queue.Claim) (renewed, lost []queue.Claim, err error) {
	return nil, nil, nil
}

func TestAnExpiredLeaseSaysWhyItWasNotRenewed(t *testing.T) {
	for why, cut := range map[string]func(queue.Store) queue.Store{
		"its row stayed locked":           func(s queue.Store) queue.Store { return unrenewed{s} },
		"no renewal was answered in time": func(s queue.Store) queue.Store { return stopped{s, new(atomic.Int32)} },
		context.DeadlineExceeded.Error():  func(s queue.Store) queue.Store { return deaf{s} },
	} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sys := newSystem(t, setup{store: cut(newStore(t))}, task(func(ctx context.Context) (any, error) {
					<-ctx.Done()
					return nil, context.Cause(ctx)
				}))
				sys.run(sys.enqueue("t", nil))
				time.Sleep(3 * queue.DefaultLease) // until the last heartbeat has returned
				if log := sys.log.String(); !strings.Contains(log, "lease expired: it could not be renewed") || !strings.Contains(log, why) {
					t.Error(log)
				}
			})
		})
	}
}
