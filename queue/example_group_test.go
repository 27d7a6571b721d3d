package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/claimcheck-go/claimcheck/queue"
)

// A task that runs once when all pages are fetched.
func ExampleTask_EnqueueGroup() {
	ctx := context.Background()
	fetch := queue.NewTaskFunc("pages.fetch", func(context.Context, string) error { return nil })
	report := queue.NewTaskFunc("pages.report", func(ctx context.Context, month string) error {
		info, _ := queue.InfoFrom(ctx)
		group := must(queue.ClientFrom(ctx).Group(ctx, info.Group))
		fmt.Println("report of", month, "on", group.Successful, "pages")
		return nil
	})
	client, executor := exampleClient(ctx, fetch, report)

	pages := slices.Values([]string{"/a", "/b", "/c"})
	group := must(fetch.EnqueueGroup(ctx, client, queue.GroupSpec{OnSuccess: new(report.Request("2026-11"))}, pages))
	fmt.Println(group.State(), group.Total)

	must(executor.Work(ctx, queue.WorkConfig{}))
	fmt.Println(must(client.Group(ctx, group.ID)).State())
	// Output:
	// running 3
	// report of 2026-11 on 3 pages
	// succeeded
}

// Tasks are added one by one, until the group is closed. The first failure is reported at
// once.
func ExampleClient_CreateGroup() {
	ctx := context.Background()
	send := queue.NewTaskFunc("mails.send", func(_ context.Context, to string) error {
		if to == "" {
			return queue.Discard(errors.New("no address"))
		}
		return nil
	})
	alert := queue.NewTaskFunc("mails.alert", func(_ context.Context, text string) error {
		fmt.Println("alert:", text)
		return nil
	})
	client, executor := exampleClient(ctx, send, alert)

	group := must(client.CreateGroup(ctx, queue.GroupSpec{Name: "newsletter", OnFailure: new(alert.Request("a mail was not sent"))}))
	for _, to := range []string{"ann@example.com", ""} {
		must(send.Enqueue(ctx, client, to, queue.InGroup(group.ID)))
	}
	if err := group.Close(ctx); err != nil {
		panic(err)
	}
	must(executor.Work(ctx, queue.WorkConfig{}))
	now := must(client.Group(ctx, group.ID))
	fmt.Println(now.State(), now.Successful, now.Failed)
	// Output:
	// alert: a mail was not sent
	// failed 1 1
}
