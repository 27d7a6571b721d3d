// Command hello is the first program of docs/tasks.md: a task without a server.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

var greet = queue.NewTask("greet", func(_ context.Context, name string) (string, error) {
	return "Hello, " + name + "!", nil
})

func main() {
	ctx := context.Background()
	store := must(sqlitestore.Open(ctx, sqlitestore.Config{URL: "sqlite:hello.db", Migrate: true}))
	client := must(queue.StartLocal(ctx, queue.Config{Store: store, Registry: queue.NewRegistry(greet)}))
	handle := must(greet.Enqueue(ctx, client, "world"))
	fmt.Println(must(greet.Wait(ctx, client, handle.ID))) // Hello, world!
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
