package queue_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// purgeable is a store with rows to delete, a second for each batch.
type purgeable struct {
	queue.Store
	queue.Operator
	batches int
	working bool
}

func (p *purgeable) Working(context.Context) (bool, error) { return p.working, nil }

func (p *purgeable) Purge(_ context.Context, r queue.PurgeRequest) (queue.PurgeResult, error) {
	time.Sleep(time.Second)
	if p.batches--; p.batches == 0 {
		return queue.PurgeResult{Deleted: 1}, nil
	}
	return queue.PurgeResult{Deleted: r.Limit, Next: time.Unix(1, 0)}, nil
}

func TestPurgePausesWhileWorkersAreBusy(t *testing.T) {
	for _, c := range []struct {
		working bool
		want    time.Duration
	}{{false, 10 * time.Second}, {true, 28 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			client, err := queue.NewClient(queue.Config{Store: &purgeable{batches: 10, working: c.working}, Registry: queue.NewRegistry()})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			deleted, more, err := client.Purge(t.Context(), queue.PurgeRequest{Statuses: []queue.Status{queue.StatusFailed}, Limit: 100}, nil)
			if took := time.Since(began); deleted != 901 || more || err != nil || took != c.want {
				t.Errorf("working %t: %d deleted, more %t, %v in %s; want %s", c.working, deleted, more, err, took, c.want)
			}
		})
	}
}

// A purge that waits ends with its context.
func TestPurgeDoesNotWaitBeyondItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, err := queue.NewClient(queue.Config{Store: &purgeable{batches: 10, working: true}, Registry: queue.NewRegistry()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if deleted, more, err := client.Purge(ctx, queue.PurgeRequest{Statuses: []queue.Status{queue.StatusFailed}, Limit: 100}, nil); deleted != 100 || !more || err != nil {
			t.Errorf("%d deleted, more %t, %v", deleted, more, err)
		}
	})
}
