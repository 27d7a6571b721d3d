package sqlitestore_test

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

// A database in memory, for a test or a first program; a file is sqlite:PATH.
func ExampleOpen() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	store, err := sqlitestore.Open(ctx, sqlitestore.Config{URL: "sqlite::memory:", Migrate: true})
	if err != nil {
		log.Fatal(err)
	}
	client, err := queue.StartLocal(ctx, queue.Config{Store: store, Registry: queue.NewRegistry(greet)})
	if err != nil {
		log.Fatal(err)
	}
	handle, err := greet.Enqueue(ctx, client, "world")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(greet.Wait(ctx, client, handle.ID))
	// Output: Hello, world! <nil>
}

// The task exists if the transaction commits. SQLite has one writer, so it is begun
// on the store's own connection and ends soon.
func ExampleTx() {
	ctx := context.Background()
	store, err := sqlitestore.Open(ctx, sqlitestore.Config{URL: "sqlite::memory:", Migrate: true})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	client, err := queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(greet)})
	if err != nil {
		log.Fatal(err)
	}
	tx, err := store.DB().BeginTx(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	err = client.InTx(ctx, sqlitestore.Tx(tx), func(q queue.Tx) error {
		if _, err := tx.ExecContext(ctx, "CREATE TABLE users (name TEXT)"); err != nil {
			return err
		}
		_, err := greet.EnqueueTx(ctx, client, q, "ann")
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	pending, err := client.PendingCount(ctx, queue.Filter{})
	fmt.Println(pending, err)
	// Output: 1 <nil>
}
