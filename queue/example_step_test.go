package queue_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// The mail fails the first time. The second attempt gets the receipt of the first, and
// does not charge again.
func ExampleStep() {
	ctx := context.Background()
	mails := 0
	order := queue.NewTask("orders.place", func(ctx context.Context, cents int) (string, error) {
		receipt, err := queue.Step(ctx, "charge", func(context.Context) (string, error) {
			fmt.Println("charging", cents)
			return "receipt 4711", nil
		})
		if err != nil {
			return "", err
		}
		return queue.Step(ctx, "mail", func(context.Context) (string, error) {
			if mails++; mails == 1 {
				return "", errors.New("connection refused")
			}
			fmt.Println("mailing", receipt)
			return receipt, nil
		})
	})
	client, executor := exampleClient(ctx, order)
	handle := must(order.Enqueue(ctx, client, 1200))
	for range 2 {
		run := must(executor.RunByID(ctx, handle.ID, queue.RunOptions{}))
		fmt.Println(run.Outcome)
	}
	// Output:
	// charging 1200
	// failed
	// mailing receipt 4711
	// succeeded
}

// Work that is longer than an attempt may be is done in pieces.
func ExampleContinue() {
	ctx := context.Background()
	count := queue.NewTask("rows.count", func(ctx context.Context, rows int) (int, error) {
		counted, _, err := queue.Checkpoint[int](ctx) // 0 the first time
		if err != nil {
			return 0, err
		}
		for piece := 0; counted < rows; counted++ {
			if piece++; piece > 400 { // or when ctx.Deadline is near
				return 0, queue.Continue(counted)
			}
		}
		return counted, nil
	})
	client, executor := exampleClient(ctx, count)
	handle := must(count.Enqueue(ctx, client, 1000))
	for range 3 {
		run := must(executor.RunByID(ctx, handle.ID, queue.RunOptions{}))
		fmt.Println(run.Outcome, run.Row.Status)
	}
	fmt.Println(must(count.Result(ctx, client, handle.ID)))
	// Output:
	// rescheduled READY
	// rescheduled READY
	// succeeded SUCCESSFUL
	// 1000
}

// A checkpoint in the middle of an attempt, for the case that it fails.
func ExampleSaveCheckpoint() {
	ctx := context.Background()
	load := queue.NewTask("rows.import", func(ctx context.Context, rows int) (any, error) {
		next, resumed, err := queue.Checkpoint[int](ctx)
		if err != nil {
			return nil, err
		}
		fmt.Println("from row", next)
		for ; next < rows; next++ {
			if next == 250 && !resumed {
				return nil, errors.New("connection reset")
			}
			if next%100 == 0 { // after a batch, since it is a statement
				if err := queue.SaveCheckpoint(ctx, next); err != nil {
					return nil, err
				}
			}
		}
		return nil, nil
	})
	client, executor := exampleClient(ctx, load)
	handle := must(load.Enqueue(ctx, client, 1000))
	for range 2 {
		must(executor.RunByID(ctx, handle.ID, queue.RunOptions{}))
	}
	fmt.Println(must(client.Get(ctx, handle.ID)).Status)
	// Output:
	// from row 0
	// from row 200
	// SUCCESSFUL
}

// A step whose booking and whose result commit together takes effect exactly once.
func ExampleStoreTx() {
	ctx := context.Background()
	store := inMemory(ctx)
	db := store.DB()
	must(db.ExecContext(ctx, "CREATE TABLE bookings (seats INTEGER)"))
	attempts := 0
	book := queue.NewTask("seats.book", func(ctx context.Context, seats int) (any, error) {
		_, err := queue.Step(ctx, "book", func(ctx context.Context) (int, error) {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return 0, err
			}
			defer func() { _ = tx.Rollback() }()
			if _, err := tx.ExecContext(ctx, "INSERT INTO bookings VALUES (?)", seats); err != nil {
				return 0, err
			}
			if err := queue.StoreTx(ctx, sqlitestore.Tx(tx), seats); err != nil {
				return 0, err
			}
			return seats, tx.Commit()
		})
		if attempts++; attempts == 1 {
			err = errors.Join(err, errors.New("connection reset"))
		}
		return nil, err
	})
	client := must(queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(book), Logger: slog.New(slog.DiscardHandler)}))
	executor := must(queue.NewExecutor(client, queue.ExecutorConfig{}))
	handle := must(book.Enqueue(ctx, client, 2))
	for range 2 {
		fmt.Println(must(executor.RunByID(ctx, handle.ID, queue.RunOptions{})).Outcome)
	}
	var booked sql.NullInt64
	err := db.QueryRowContext(ctx, "SELECT sum(seats) FROM bookings").Scan(&booked)
	fmt.Println(booked.Int64, err)
	// Output:
	// failed
	// succeeded
	// 2 <nil>
}
