package queue_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Middleware of a client surrounds all its enqueues and runs. This one refuses tasks
// outside of a quota before they are stored, and logs how each attempt ends.
func ExampleMiddleware() {
	ctx := context.Background()
	quota := 1
	limited := queue.Middleware{Enqueue: func(next queue.EnqueueFunc) queue.EnqueueFunc {
		return func(ctx context.Context, rows []*queue.Row) error {
			if quota -= len(rows); quota < 0 {
				return errors.New("over the quota of today")
			}
			return next(ctx, rows)
		}
	}}
	logged := queue.Middleware{Run: func(next queue.RunFunc) queue.RunFunc {
		return func(ctx context.Context, row *queue.Row) error {
			err := next(ctx, row)
			fmt.Println(row.Task, "attempt", row.Attempts, "leads to", row.StatusAfter(err))
			return err
		}
	}}
	greet := queue.NewTaskFunc("greet", func(_ context.Context, name string) error {
		return errors.New("nobody is there")
	})
	client, err := queue.NewClient(queue.Config{
		Store: inMemory(ctx), Registry: queue.NewRegistry(greet), Middleware: []queue.Middleware{limited, logged}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	executor := must(queue.NewExecutor(client, queue.ExecutorConfig{}))
	must(greet.Enqueue(ctx, client, "Ann"))
	_, err = greet.Enqueue(ctx, client, "Bob")
	fmt.Println(err)
	must(executor.ProcessOne(ctx, queue.From{}))
	// Output:
	// over the quota of today
	// greet attempt 1 leads to READY
}

// Typed middleware of one task sees its arguments and its return value.
func ExampleAround() {
	ctx := context.Background()
	slow := func(next queue.Func[Email, string]) queue.Func[Email, string] {
		return func(ctx context.Context, in Email) (string, error) {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			out, err := next(ctx, in)
			fmt.Printf("mail to %s: %s, %v\n", in.To, out, err)
			return out, err
		}
	}
	send := queue.NewTask("emails.send", func(_ context.Context, in Email) (string, error) {
		return "250 OK", nil
	}, queue.Around(slow))
	client, executor := exampleClient(ctx, send)
	must(send.Enqueue(ctx, client, Email{UserID: 1, To: "ann@example.com"}))
	must(executor.ProcessOne(ctx, queue.From{}))
	// Output: mail to ann@example.com: 250 OK, <nil>
}
