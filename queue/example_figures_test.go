package queue_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/claimcheck-go/claimcheck/queue"
)

// The last day of one type of task: how many have failed, and how long 95 of 100 waited at
// most.
func ExampleClient_Figures() {
	ctx := context.Background()
	charge := queue.NewTaskFunc("cards.charge", func(_ context.Context, cents int) error {
		if cents == 0 {
			return queue.Discard(errors.New("nothing to charge"))
		}
		return nil
	})
	client, executor := exampleClient(ctx, charge)
	for _, cents := range []int{1200, 0, 990, 450} {
		must(charge.Enqueue(ctx, client, cents))
	}
	must(executor.Work(ctx, queue.WorkConfig{}))

	figures := must(client.Figures(ctx, queue.FiguresRequest{Task: "cards.charge"}))
	total := figures.Total()
	fmt.Printf("%d ended, %.0f %% failed\n", total.Ended(), 100*total.ErrorRate())
	fmt.Println("95 of 100 waited for less than a minute:", total.Wait.Duration(0.95).Minutes() < 1)
	// Output:
	// 4 ended, 25 % failed
	// 95 of 100 waited for less than a minute: true
}
