package queue_test

import (
	"context"
	"fmt"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/queuetest"
)

type InviteArgs struct {
	UserID int `json:"user_id"`
}

var Invite = queue.NewTaskFunc("emails.invite", func(context.Context, InviteArgs) error { return nil })

// What became of user 4711.
func ExampleClient_List() {
	ctx := context.Background()
	client, err := queue.NewClient(queue.Config{Store: queuetest.NewStore(nil), Registry: queue.NewRegistry(Invite)})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, user := range []int{4710, 4711, 4712} {
		if _, err := Invite.Enqueue(ctx, client, InviteArgs{UserID: user}); err != nil {
			fmt.Println(err)
		}
	}
	page, err := client.List(ctx, queue.ListRequest{
		Selection: queue.Selection{Task: "emails.*", Args: []queue.ArgFilter{{Path: "user_id", Value: "4711"}}},
		Limit:     10,
		Values:    1000, // characters: with the arguments
		Budget:    2 * time.Second,
	})
	for _, row := range page.Rows {
		fmt.Println(row.Task, row.Status, string(row.Args))
	}
	fmt.Println(page.Partial, err)
	// Output:
	// emails.invite READY {"user_id":4711}
	// false <nil>
}
