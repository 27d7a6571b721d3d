package queue_test

import (
	"context"
	"fmt"

	"github.com/claimcheck-go/claimcheck/queue"
)

// A long task shows how far it is, and what it is doing. Calling Progress for each unit
// costs nothing: heartbeats carry the values to the database.
func ExampleProgress() {
	ctx := context.Background()
	export := queue.NewTask("orders.export", func(ctx context.Context, orders int) (string, error) {
		for i := range orders {
			queue.Progress(ctx, i+1, orders)
		}
		queue.Note(ctx, "uploaded orders.csv")
		return "orders.csv", nil
	})
	client, executor := exampleClient(ctx, export)
	handle := must(export.Enqueue(ctx, client, 400))
	must(executor.RunByID(ctx, handle.ID, queue.RunOptions{}))

	row := must(client.Get(ctx, handle.ID))
	fmt.Printf("%d of %d, %s\n", row.Progress.Done, row.Progress.Total, row.Note)
	// Output: 400 of 400, uploaded orders.csv
}

// A note says what the task is doing. It stays when the task has ended.
func ExampleNote() {
	ctx := context.Background()
	sync := queue.NewTask("crm.sync", func(ctx context.Context, _ int) (any, error) {
		queue.Note(ctx, "reading accounts")
		queue.Note(ctx, "3 accounts had no address")
		return nil, nil
	})
	client, executor := exampleClient(ctx, sync)
	handle := must(sync.Enqueue(ctx, client, 1))
	must(executor.RunByID(ctx, handle.ID, queue.RunOptions{}))

	fmt.Println(must(client.Get(ctx, handle.ID)).Note)
	// Output: 3 accounts had no address
}
