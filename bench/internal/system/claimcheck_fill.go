package system

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// postgresProduct is the product with what only scenarios on PostgreSQL need.
type postgresProduct struct {
	*product
	unverified bool // its deliveries
}

// Fill stores n tasks of a kind.
func (p *postgresProduct) Fill(ctx context.Context, n int, kind Kind) error {
	base, copies := portions(n)
	if err := p.fillBase(ctx, base, kind); err != nil {
		return err
	}
	return multiply(ctx, p.URL, "claimcheck_tasks", copies, map[string]string{
		"id": newUUID, "enqueued_at": "clock_timestamp()",
		"finished_at": "CASE WHEN s.finished_at IS NOT NULL THEN clock_timestamp() - interval '2 days' END",
	})
}

func (p *postgresProduct) fillBase(ctx context.Context, n int, kind Kind) error {
	switch kind {
	case Due:
		return p.EnqueueBatch(ctx, n)
	case Delayed:
		_, err := p.client.EnqueueMany(ctx, requests(n, taskName, queue.Priority(queue.MaxPriority), queue.Delay(24*time.Hour))...)
		return err
	case Unknown:
		const other = "known_elsewhere"
		client, err := queue.NewClient(queue.Config{
			Store: p.store, Logger: quiet(),
			Registry: queue.NewRegistry(queue.Declare[order, any](other, queue.Priority(queue.MaxPriority))),
		})
		if err != nil {
			return err
		}
		_, err = client.EnqueueMany(ctx, requests(n, other)...)
		return err
	case Finished:
		if err := p.EnqueueBatch(ctx, n); err != nil {
			return err
		}
		return exec(ctx, p.URL, `UPDATE claimcheck_tasks SET status = 'SUCCESSFUL', hold = NULL, attempts = 1, claim_id = gen_random_uuid(),
			worker_ids = '{worker}', return_value = 'null', started_at = now() - interval '2 days',
			last_attempted_at = now() - interval '2 days', finished_at = now() - interval '2 days'`)
	}
	return fmt.Errorf("there are no tasks of the kind %q", kind)
}

// Purge works as `server purge --days 1` does.
func (p *postgresProduct) Purge(ctx context.Context) (int, error) { return p.purge(ctx, nil) }

func (p *postgresProduct) purge(ctx context.Context, progress func(deleted int)) (int, error) {
	deleted, _, err := p.client.Purge(ctx, queue.PurgeRequest{
		Statuses: []queue.Status{queue.StatusSuccessful, queue.StatusFailed}, Age: 24 * time.Hour,
	}, progress)
	return deleted, err
}

// DrainPurging runs n tasks during a purge of old rows, and returns what was done
// until one of the two ended.
func (p *postgresProduct) DrainPurging(ctx context.Context, n int) (s Shared, err error) {
	var runs, deleted atomic.Int64
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	began := time.Now()
	seen := func() Shared {
		return Shared{Runs: int(runs.Load()), Deleted: int(deleted.Load()), Took: time.Since(began)}
	}
	worked := make(chan error, 1)
	go func() {
		_, err := p.executor.Work(ctx, queue.WorkConfig{MaxTasks: n, OnRun: func(*queue.Run) { runs.Add(1) }})
		worked <- err
	}()
	purged := make(chan error, 1)
	purging, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_, err := p.purge(purging, func(n int) { deleted.Store(int64(n)) })
		purged <- err
	}()
	select {
	case err = <-worked:
		s = seen()
		stop()
		if purgeErr := <-purged; err == nil && !errors.Is(purgeErr, context.Canceled) {
			err = purgeErr
		}
	case err = <-purged:
		s = seen()
		if workErr := <-worked; err == nil {
			err = workErr
		}
	}
	return s, err
}
