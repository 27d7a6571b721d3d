package queue_test

import (
	"context"
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
