package queue_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// runOnce runs a task once, and prints how it ended.
func runOnce(fn queue.Func[int, any], options ...queue.Option) {
	ctx := context.Background()
	task := queue.NewTask("t", fn, options...)
	client, executor := exampleClient(ctx, task)
	handle := must(task.Enqueue(ctx, client, 1))
	run := must(executor.RunByID(ctx, handle.ID, queue.RunOptions{}))
	row := run.Row
	fmt.Printf("%s %s, attempts %d, errors %d\n", run.Outcome, row.Status, row.Attempts, len(row.Errors))
}

// A permanent error needs no further attempts.
func ExampleDiscard() {
	runOnce(func(context.Context, int) (any, error) {
		return nil, queue.Discard(errors.New("the user has no address"))
	})
	// Output: failed FAILED, attempts 1, errors 1
}

// A task that is not wanted any more.
func ExampleCancel() {
	runOnce(func(context.Context, int) (any, error) {
		return nil, queue.Cancel(errors.New("the order was withdrawn"))
	})
	// Output: cancelled CANCELLED, attempts 1, errors 1
}

// The next attempt is not before the time that another service has asked for.
func ExampleRetryAt() {
	runOnce(func(context.Context, int) (any, error) {
		return nil, queue.RetryAt(time.Now().Add(time.Hour), errors.New("429 Too Many Requests"))
	})
	// Output: rescheduled READY, attempts 1, errors 1
}

// A task that has to wait for something, which is no failure.
func ExampleSnooze() {
	runOnce(func(context.Context, int) (any, error) {
		return nil, queue.Snooze(5 * time.Minute)
	})
	// Output: rescheduled READY, attempts 0, errors 0
}

// A backoff of the task's own: a minute, then two, up to a day.
func ExampleBackoff() {
	runOnce(func(context.Context, int) (any, error) {
		return nil, errors.New("not yet")
	}, queue.Backoff(queue.Exponential(time.Minute, 24*time.Hour)))
	// Output: rescheduled READY, attempts 1, errors 1
}

// A long task saves its progress when the process is asked to stop.
func ExampleStopping() {
	count := queue.NewTask("count", func(ctx context.Context, upTo int) (int, error) {
		for n := range upTo {
			select {
			case <-queue.Stopping(ctx):
				return n, queue.Snooze(0) // another process continues
			default:
			}
		}
		return upTo, nil
	})
	ctx := context.Background()
	client, executor := exampleClient(ctx, count)
	handle := must(count.Enqueue(ctx, client, 1000))
	must(executor.RunByID(ctx, handle.ID, queue.RunOptions{}))
	fmt.Println(count.Result(ctx, client, handle.ID))
	// Output: 1000 <nil>
}

// The user and the task exist together, or not at all.
func ExampleClient_InTx() {
	ctx := context.Background()
	send := queue.Declare[Email, any]("emails.send")
	store := inMemory(ctx)
	db := store.DB() // your own pool works as well: sqlitestore.New(db)
	must(db.ExecContext(ctx, "CREATE TABLE users (id INTEGER)"))
	client := must(queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(send)}))

	register := func(id int) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		return client.InTx(ctx, sqlitestore.Tx(tx), func(q queue.Tx) error { // commits and dispatches, or rolls back
			if _, err := tx.ExecContext(ctx, "INSERT INTO users VALUES (?)", id); err != nil {
				return err
			}
			_, err := send.EnqueueTx(ctx, client, q, Email{UserID: id})
			return err
		})
	}
	fmt.Println(register(7))
	fmt.Println(client.PendingCount(ctx, queue.Filter{}))
	// Output:
	// <nil>
	// 1 <nil>
}

// Without InTx, the caller commits, and then dispatches.
func ExampleTask_EnqueueTx() {
	ctx := context.Background()
	send := queue.Declare[Email, any]("emails.send")
	store := inMemory(ctx)
	client := must(queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(send)}))

	tx := must(store.DB().BeginTx(ctx, nil))
	handle := must(send.EnqueueTx(ctx, client, sqlitestore.Tx(tx), Email{UserID: 7}))
	if err := tx.Commit(); err != nil {
		panic(err)
	}
	client.Dispatch(ctx, handle)
	fmt.Println(client.PendingCount(ctx, queue.Filter{}))
	// Output: 1 <nil>
}

// What a task writes and its success become durable together, so that its effect
// happens once, however often the task runs.
func ExampleCompleteTx() {
	ctx := context.Background()
	store := inMemory(ctx)
	db := store.DB()
	must(db.ExecContext(ctx, "CREATE TABLE charges (amount INTEGER)"))
	charge := queue.NewTask("orders.charge", func(ctx context.Context, amount int) (string, error) {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return "", err
		}
		defer func() { _ = tx.Rollback() }()
		if _, err := tx.ExecContext(ctx, "INSERT INTO charges VALUES (?)", amount); err != nil {
			return "", err
		}
		if err := queue.CompleteTx(ctx, sqlitestore.Tx(tx), "charged"); err != nil {
			return "", err
		}
		return "", tx.Commit()
	})
	client := must(queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(charge), Logger: slog.New(slog.DiscardHandler)}))
	executor := must(queue.NewExecutor(client, queue.ExecutorConfig{}))

	handle := must(charge.Enqueue(ctx, client, 1200))
	must(executor.RunByID(ctx, handle.ID, queue.RunOptions{}))
	var amount sql.NullInt64
	err := db.QueryRowContext(ctx, "SELECT sum(amount) FROM charges").Scan(&amount)
	fmt.Println(amount.Int64, err)
	fmt.Println(charge.Result(ctx, client, handle.ID))
	// Output:
	// 1200 <nil>
	// charged <nil>
}

// Hooks observe tasks, here beside the hooks of another package.
func ExampleJoinHooks() {
	ctx := context.Background()
	count := queue.Hooks{Finished: func(_ context.Context, run *queue.Run) { fmt.Println("finished:", run.Outcome) }}
	trace := queue.Hooks{
		Started:  func(_ context.Context, row *queue.Row) { fmt.Println("started:", row.Task) },
		Finished: func(_ context.Context, run *queue.Run) { fmt.Println("ended:", run.Row.Task) },
	}
	double := queue.NewTask("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	client := must(queue.NewClient(queue.Config{
		Store: inMemory(ctx), Registry: queue.NewRegistry(double),
		Hooks: queue.JoinHooks(trace, count), Logger: slog.New(slog.DiscardHandler),
	}))
	executor := must(queue.NewExecutor(client, queue.ExecutorConfig{}))
	must(double.Enqueue(ctx, client, 1))
	must(executor.ProcessOne(ctx, queue.From{}))
	// Output:
	// started: double
	// finished: succeeded
	// ended: double
}

// NewLocal with an Executor limits how many tasks run in this process, and drains
// them at the end.
func ExampleLocal_Run() {
	ctx, stop := context.WithCancel(context.Background())
	double := queue.NewTask("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	local := queue.NewLocal()
	client := must(queue.NewClient(queue.Config{
		Store: inMemory(ctx), Registry: queue.NewRegistry(double), Dispatcher: local, Logger: slog.New(slog.DiscardHandler),
	}))
	executor := must(queue.NewExecutor(client, queue.ExecutorConfig{Concurrency: 4}))
	done := make(chan struct{})
	go func() { defer close(done); local.Run(ctx, executor) }()

	handle := must(double.Enqueue(ctx, client, 21))
	fmt.Println(double.Wait(ctx, client, handle.ID))
	stop() // claims nothing more
	<-done
	fmt.Println(executor.Shutdown(context.Background(), time.Second))
	// Output:
	// 42 <nil>
	// <nil>
}
