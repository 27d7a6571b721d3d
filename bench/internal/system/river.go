package system

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	riverqueue "github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

func river(name string) System {
	return System{Name: name, Server: Postgres, Setup: onURL(setupRiver), Open: func(ctx context.Context, t Target) (Session, error) {
		pool, err := openPool(ctx, t.URL, nil)
		if err != nil {
			return nil, err
		}
		// The settings of River's own benchmark: `river bench` of its command line.
		r := &riverSession{url: t.URL, pool: pool, cooldown: 2 * time.Millisecond, poll: 20 * time.Millisecond, slots: 2000}
		if name == "river" {
			// As many at once as the others, and the shortest pauses that River accepts
			// between two fetches: by default it is 100 ms.
			r.cooldown, r.poll, r.slots, r.pauses = riverqueue.FetchCooldownMin, riverqueue.FetchPollIntervalDefault, t.Slots, true
		}
		r.inserter, err = riverqueue.NewClient(riverpgxv5.New(pool), &riverqueue.Config{Logger: quiet()})
		return r, err
	}}
}

func setupRiver(ctx context.Context, url string) error {
	pool, err := openPool(ctx, url, nil)
	if err != nil {
		return err
	}
	defer pool.Close()
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: quiet()})
	if err != nil {
		return err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

type riverSession struct {
	url            string
	pool           *pgxpool.Pool
	inserter       *riverqueue.Client[pgx.Tx]
	cooldown, poll time.Duration
	slots          int
	pauses         bool // of the cleaner
	draining       *riverqueue.Client[pgx.Tx]
}

// riverWorker is the task.
type riverWorker struct {
	riverqueue.WorkerDefaults[order]
	started func()
}

// Work does nothing.
func (w *riverWorker) Work(context.Context, *riverqueue.Job[order]) error {
	if w.started != nil {
		w.started()
	}
	return nil
}

// worker is a client that works; it is not started.
func (r *riverSession) worker(started func()) (*riverqueue.Client[pgx.Tx], error) {
	workers := riverqueue.NewWorkers()
	riverqueue.AddWorker(workers, &riverWorker{started: started})
	return riverqueue.NewClient(riverpgxv5.New(r.pool), &riverqueue.Config{
		FetchCooldown: r.cooldown, FetchPollInterval: r.poll, Logger: quiet(), Workers: workers,
		Queues: map[string]riverqueue.QueueConfig{riverqueue.QueueDefault: {MaxWorkers: r.slots}},
	})
}

// Close ends the session.
func (r *riverSession) Close(ctx context.Context) (err error) {
	if r.draining != nil {
		err = r.draining.StopAndCancel(ctx)
	}
	r.pool.Close()
	return err
}

// Enqueue stores one task.
func (r *riverSession) Enqueue(ctx context.Context) error {
	_, err := r.inserter.Insert(ctx, sample, nil)
	return err
}

// EnqueueBatch stores n tasks. It is InsertMany, which answers with the rows as
// claimcheck does; InsertManyFast answers with their number.
func (r *riverSession) EnqueueBatch(ctx context.Context, n int) error {
	params := make([]riverqueue.InsertManyParams, n)
	for i := range params {
		params[i].Args = sample
	}
	_, err := r.inserter.InsertMany(ctx, params)
	return err
}

// Drain counts by the events that come after a job's end is stored, as River's
// own benchmark does.
func (r *riverSession) Drain(ctx context.Context, n int, _ func(time.Duration)) error {
	client, err := r.worker(nil)
	if err != nil {
		return err
	}
	events, cancel := client.SubscribeConfig(&riverqueue.SubscribeConfig{
		ChanSize: 2*n + 10_000,
		Kinds:    []riverqueue.EventKind{riverqueue.EventKindJobCompleted, riverqueue.EventKindJobFailed},
	})
	defer cancel()
	if err := client.Start(ctx); err != nil {
		return err
	}
	r.draining = client // its services take their time to stop, which is no part of the work
	for range n {
		select {
		case event := <-events:
			if event.Kind != riverqueue.EventKindJobCompleted {
				return fmt.Errorf("job %d: %s", event.Job.ID, event.Kind)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Start makes a client that waits; it listens for notifications in either mode.
func (r *riverSession) Start(ctx context.Context, _ StartMode, started func()) (Running, error) {
	client, err := r.worker(started)
	if err != nil {
		return nil, err
	}
	return riverRunning{r, client}, client.Start(ctx)
}

type riverRunning struct {
	*riverSession
	client *riverqueue.Client[pgx.Tx]
}

// Stop ends the worker.
func (r riverRunning) Stop(ctx context.Context) error { return r.client.Stop(ctx) }

// Fill stores n tasks of a kind.
func (r *riverSession) Fill(ctx context.Context, n int, kind Kind) error {
	base, copies := portions(n)
	if err := r.EnqueueBatch(ctx, base); err != nil {
		return err
	}
	switch kind {
	case Due:
	case Finished:
		_, err := r.pool.Exec(ctx, `UPDATE river_job SET state = 'completed', attempt = 1, attempted_by = '{worker}',
			attempted_at = now() - interval '2 days', finalized_at = now() - interval '2 days'`)
		if err != nil {
			return err
		}
	default:
		return fmt.Errorf("there are no tasks of the kind %q", kind)
	}
	// An empty expression leaves the ID to its sequence.
	return multiply(ctx, r.url, "river_job", copies, map[string]string{"id": "", "created_at": "clock_timestamp()"})
}

// Purge runs the statement of River's cleaner in its batches, with the pauses
// that the cleaner makes between them; river-bench leaves these out.
func (r *riverSession) Purge(ctx context.Context) (deleted int, err error) {
	const batch, shortest, longest = 10_000, 50 * time.Millisecond, time.Second
	horizon := time.Now().Add(-24 * time.Hour)
	for {
		n, err := riverpgxv5.New(r.pool).GetExecutor().JobDeleteBefore(ctx, &riverdriver.JobDeleteBeforeParams{
			CompletedDoDelete: true, CompletedFinalizedAtHorizon: horizon,
			CancelledDoDelete: true, CancelledFinalizedAtHorizon: horizon,
			DiscardedDoDelete: true, DiscardedFinalizedAtHorizon: horizon,
			Max: batch,
		})
		deleted += n
		if err != nil || n < batch {
			return deleted, err
		}
		if r.pauses {
			time.Sleep(shortest + rand.N(longest-shortest))
		}
	}
}
