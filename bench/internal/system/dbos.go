package system

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	dbospkg "github.com/dbos-inc/dbos-transact-golang/dbos"
	"github.com/jackc/pgx/v5"
)

// dbos is DBOS Transact: a task is a workflow without steps on a durable queue.
func dbos() System {
	return System{Name: "dbos", Server: Postgres, Slow: true, Setup: onURL(setupDBOS), Open: func(ctx context.Context, t Target) (Session, error) {
		pool, err := openPool(ctx, t.URL, nil)
		if err != nil {
			return nil, err
		}
		d := &dbosSession{url: t.URL, slots: t.Slots}
		d.client, err = dbospkg.NewClient(ctx, dbospkg.ClientConfig{AppName: dbosApp, SystemDBPool: pool, Logger: silent()})
		return d, err
	}}
}

// Names that a worker and its enqueuers share.
const (
	dbosApp   = "claimcheck-bench"
	dbosQueue = "receipts"
)

type dbosSession struct {
	url    string
	client dbospkg.Client
	worker dbospkg.Context // while it drains
	slots  int
}

// setupDBOS makes the tables, which the start of a worker does.
func setupDBOS(ctx context.Context, url string) error {
	worker, err := startDBOS(ctx, url, 1, func() {})
	if err != nil {
		return err
	}
	return dbospkg.Shutdown(worker, 5*time.Second)
}

// startDBOS starts a worker that looks for work every 5 ms; by default it is a
// second. Each time it takes as many as it has slots for.
func startDBOS(ctx context.Context, url string, slots int, started func()) (dbospkg.Context, error) {
	pool, err := openPool(ctx, url, nil)
	if err != nil {
		return nil, err
	}
	worker, err := dbospkg.NewContext(ctx, dbospkg.Config{
		AppName: dbosApp, SystemDBPool: pool, Logger: silent(), ApplicationVersion: "bench", ExecutorID: "worker",
	})
	if err != nil {
		return nil, err
	}
	dbospkg.RegisterWorkflow(worker, func(dbospkg.Context, order) (string, error) {
		started()
		return "", nil
	}, dbospkg.WithWorkflowName(taskName))
	_, err = dbospkg.RegisterQueue(worker, dbosQueue, dbospkg.WithWorkerConcurrency(slots),
		dbospkg.WithQueueBasePollingInterval(5*time.Millisecond), dbospkg.WithQueueOnConflict(dbospkg.QueueConflictAlwaysUpdate))
	if err != nil {
		return nil, err
	}
	return worker, dbospkg.Launch(worker)
}

// Close ends the session.
func (d *dbosSession) Close(context.Context) (err error) {
	if d.worker != nil {
		err = dbospkg.Shutdown(d.worker, 10*time.Second)
	}
	return errors.Join(err, dbospkg.Shutdown(d.client, 10*time.Second)) // which closes its pool
}

// silent drops what DBOS logs: with every stop it reports errors of the queries
// that it cancels itself.
func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Enqueue stores one task.
func (d *dbosSession) Enqueue(context.Context) error {
	_, err := dbospkg.Enqueue[string](d.client, dbosQueue, taskName, sample)
	return err
}

// Drain runs n tasks. It looks into the database for whether their ends are
// stored once the last has begun.
func (d *dbosSession) Drain(ctx context.Context, n int, _ func(time.Duration)) (err error) {
	var begun atomic.Int64
	last := make(chan struct{})
	d.worker, err = startDBOS(ctx, d.url, d.slots, func() {
		if begun.Add(1) == int64(n) {
			close(last)
		}
	})
	if err != nil {
		return err
	}
	select {
	case <-last:
	case <-ctx.Done():
		return ctx.Err()
	}
	conn, err := pgx.Connect(ctx, d.url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for {
		var ended int
		err := conn.QueryRow(ctx, `SELECT count(*) FROM dbos.workflow_status WHERE status = 'SUCCESS'`).Scan(&ended)
		if err != nil || ended >= n {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}
