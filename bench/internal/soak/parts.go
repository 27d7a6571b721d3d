package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

// Command is the first argument that makes this program a part of a soak; the parts
// are the second one, and the third is the database's URL.
const (
	Command  = "soak-part"
	worker   = "worker"
	producer = "producer"
)

const taskName = "send_receipt"

// order is the argument of every task.
type order struct {
	OrderID  int64  `json:"order_id"`
	Customer string `json:"customer"`
	Note     string `json:"note"`
}

// Part runs a part until its standard input ends. The producer then writes how many
// tasks it has stored to standard output.
func Part(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: soak-part PART URL")
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	store, err := pgstore.Open(ctx, pgstore.Config{URL: args[1], MaxConns: 20})
	if err != nil {
		return err
	}
	task := queue.NewTask(taskName, func(context.Context, order) (any, error) { return nil, nil })
	client, err := queue.NewClient(queue.Config{
		Store: store, Registry: queue.NewRegistry(task),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err == nil && args[0] == worker {
		err = work(ctx, client)
	} else if err == nil {
		err = produce(ctx, client, args[1])
	}
	return errors.Join(err, store.Close())
}

func work(ctx context.Context, client *queue.Client) error {
	executor, err := queue.NewExecutor(client, queue.ExecutorConfig{Concurrency: 100})
	if err != nil {
		return err
	}
	result, err := executor.Work(ctx, queue.WorkConfig{Continuous: true})
	if err == nil && result.Failed > 0 {
		err = fmt.Errorf("%d tasks failed", result.Failed)
	}
	return err
}

// maxWaiting is how many tasks may be pending before the producer pauses.
const maxWaiting = 20_000

// produce stores tasks one by one and a thousand at a time.
func produce(ctx context.Context, client *queue.Client, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	var stored atomic.Int64
	requests := make([]queue.Request, 1000)
	for i := range requests {
		requests[i] = queue.Request{Task: taskName, Args: sample(int64(i))}
	}
	// A call that has begun is not cut short: it would be unknown what it has stored.
	calls := context.WithoutCancel(ctx)
	var group errgroup.Group
	group.Go(func() error {
		for ctx.Err() == nil {
			if _, err := client.EnqueueMany(calls, requests...); err != nil {
				return err
			}
			stored.Add(int64(len(requests)))
			if err := pauseWhileFull(ctx, pool); err != nil {
				return err
			}
		}
		return nil
	})
	group.Go(func() error {
		for ctx.Err() == nil {
			if _, err := client.Enqueue(calls, taskName, sample(0)); err != nil {
				return err
			}
			stored.Add(1)
			time.Sleep(time.Millisecond)
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(stored.Load())
}

func sample(id int64) order {
	return order{OrderID: id, Customer: "customer@example.com", Note: "thank you for your order, it is on its way"}
}

func pauseWhileFull(ctx context.Context, pool *pgxpool.Pool) error {
	for ctx.Err() == nil {
		var waiting int
		err := pool.QueryRow(context.WithoutCancel(ctx), `SELECT count(*) FROM (
			SELECT 1 FROM claimcheck_tasks WHERE status = 'READY' LIMIT $1) AS t`, maxWaiting).Scan(&waiting)
		if err != nil || waiting < maxWaiting {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}
