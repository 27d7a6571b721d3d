package queue_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/claimcheck-go/claimcheck/queue"
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
