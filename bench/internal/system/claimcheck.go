package system

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

func claimcheck() System {
	return System{Name: "claimcheck", Server: Postgres, Setup: setupClaimcheck, Open: openClaimcheck}
}

// product is claimcheck as a program of a user's would have it: a client on a
// store, and an executor.
type product struct {
	url      string
	store    *timedStore
	client   *queue.Client
	executor *queue.Executor
}

// timedStore tells how long claims take.
type timedStore struct {
	*pgstore.Store
	claimed func(time.Duration)
}

// ClaimNext is the store's, timed.
func (s *timedStore) ClaimNext(ctx context.Context, req queue.ClaimNextRequest) ([]*queue.Row, error) {
	began := time.Now()
	rows, err := s.Store.ClaimNext(ctx, req)
	if s.claimed != nil && len(rows) > 0 {
		s.claimed(time.Since(began))
	}
	return rows, err
}

func setupClaimcheck(ctx context.Context, url string) error {
	store, err := pgstore.Open(ctx, pgstore.Config{URL: url})
	if err != nil {
		return err
	}
	_, err = store.Migrate(ctx)
	return errors.Join(err, store.Close())
}

func openStore(ctx context.Context, url string) (*timedStore, error) {
	store, err := pgstore.Open(ctx, pgstore.Config{URL: url, MaxConns: poolSize})
	if err != nil {
		return nil, err
	}
	return &timedStore{Store: store}, nil
}

func openClaimcheck(ctx context.Context, t Target) (Session, error) {
	store, err := openStore(ctx, t.URL)
	if err != nil {
		return nil, err
	}
	receipts := queue.NewTask(taskName, func(context.Context, order) (any, error) { return nil, nil })
	p := &product{url: t.URL, store: store}
	log := quiet()
	if t.Info {
		log = slog.New(slog.NewJSONHandler(io.Discard, nil)) // lines are made, and written nowhere
	}
	p.client, err = queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(receipts), Logger: log})
	if err == nil {
		p.executor, err = queue.NewExecutor(p.client, queue.ExecutorConfig{Concurrency: t.Slots})
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return p, nil
}

// Close ends the session.
func (p *product) Close(context.Context) error { return p.store.Close() }

// Enqueue stores one task.
func (p *product) Enqueue(ctx context.Context) error {
	_, err := p.client.Enqueue(ctx, taskName, sample)
	return err
}

// EnqueueBatch stores n tasks in one transaction.
func (p *product) EnqueueBatch(ctx context.Context, n int) error {
	_, err := p.client.EnqueueMany(ctx, requests(n, taskName)...)
	return err
}

func requests(n int, task string, options ...queue.Option) []queue.Request {
	all := make([]queue.Request, n)
	for i := range all {
		all[i] = queue.Request{Task: task, Args: sample, Options: options}
	}
	return all
}

// Fill stores n tasks that no claim of this session takes.
func (p *product) Fill(ctx context.Context, n int, kind Kind) error {
	switch kind {
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
	}
	return fmt.Errorf("there are no tasks of the kind %q", kind)
}

// Drain works as `server work --concurrency …` does.
func (p *product) Drain(ctx context.Context, n int, claimed func(time.Duration)) error {
	p.store.claimed = claimed
	worked, err := p.executor.Work(ctx, queue.WorkConfig{MaxTasks: n})
	if err == nil && (worked.Runs != n || worked.Failed > 0) {
		err = fmt.Errorf("%d tasks were run and %d of them failed, of %d", worked.Runs, worked.Failed, n)
	}
	return err
}

// FinishAll makes every task a finished one of two days ago.
func (p *product) FinishAll(ctx context.Context) error {
	return exec(ctx, p.url, `UPDATE claimcheck_tasks SET status = 'SUCCESSFUL', hold = NULL, attempts = 1, claim_id = gen_random_uuid(),
		worker_ids = '{worker}', return_value = 'null', started_at = now() - interval '2 days',
		last_attempted_at = now() - interval '2 days', finished_at = now() - interval '2 days'`)
}

// Purge works as `server purge --days 1` does.
func (p *product) Purge(ctx context.Context) (int, error) {
	deleted, _, err := p.client.Purge(ctx, queue.PurgeRequest{
		Statuses: []queue.Status{queue.StatusSuccessful, queue.StatusFailed}, Age: 24 * time.Hour,
	}, nil)
	return deleted, err
}

// exec runs one statement on a connection of its own.
func exec(ctx context.Context, url, sql string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}
