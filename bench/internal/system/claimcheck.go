package system

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
)

// variant is a way to run the product. The zero value is as the server runs it,
// with LOG_LEVEL=warn.
type variant struct {
	info   bool // makes a log line of every run
	pooler bool // prepares no statements, as behind a pooler
	open   bool // verifies no tokens, as the yardsticks
}

// claimcheck is the product on PostgreSQL.
func claimcheck(name string, v variant) System {
	return System{Name: name, Server: Postgres, Setup: onURL(migratePostgres), Open: func(ctx context.Context, t Target) (Session, error) {
		p, err := openProduct(ctx, t, v.info, func(ctx context.Context, url string) (store, error) { return openPostgres(ctx, url, v.pooler) })
		if err != nil {
			return nil, err
		}
		return &postgresProduct{p, v.open}, nil
	}}
}

// embedded is the product on what database/sql serves.
func embedded(server Server) System {
	return System{Name: "claimcheck", Server: server, Setup: onURL(migrateSQL), Open: func(ctx context.Context, t Target) (Session, error) {
		p, err := openProduct(ctx, t, false, openSQL)
		if err != nil {
			return nil, err
		}
		return p, nil
	}}
}

// product is claimcheck as a program of a user's would have it: a client on a
// store, and an executor.
type product struct {
	Target
	open     func(ctx context.Context, url string) (store, error)
	store    store
	client   *queue.Client
	executor *queue.Executor
	busy     atomic.Int64 // nanoseconds that functions have slept
}

// Busy is how long functions have slept in all, which is more than they wanted to.
func (p *product) Busy() time.Duration { return time.Duration(p.busy.Load()) }

func openProduct(ctx context.Context, t Target, info bool, open func(ctx context.Context, url string) (store, error)) (*product, error) {
	store, err := open(ctx, t.URL)
	if err != nil {
		return nil, err
	}
	p := &product{Target: t, open: open, store: store}
	receipts := queue.NewTask(taskName, func(context.Context, order) (any, error) {
		if t.Sleep > 0 {
			began := time.Now()
			time.Sleep(t.Sleep)
			p.busy.Add(int64(time.Since(began)))
		}
		return nil, nil
	})
	log := quiet()
	if info {
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

// Drain works as `server work --concurrency …` does.
func (p *product) Drain(ctx context.Context, n int, claimed func(time.Duration)) error {
	p.store.timeClaims(claimed)
	return p.work(ctx, n, nil)
}

func (p *product) work(ctx context.Context, n int, onRun func(*queue.Run)) error {
	worked, err := p.executor.Work(ctx, queue.WorkConfig{MaxTasks: n, OnRun: onRun})
	if err == nil && (worked.Runs != n || worked.Failed > 0) {
		err = fmt.Errorf("%d tasks were run and %d of them failed, of %d", worked.Runs, worked.Failed, n)
	}
	return err
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
