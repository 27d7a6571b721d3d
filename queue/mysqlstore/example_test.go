package mysqlstore_test

import (
	"context"
	"database/sql"
	"log"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/mysqlstore"
)

var greet = queue.Declare[string, string]("greet")

// A store with a pool of its own, and the tables up to date.
func ExampleOpen() {
	ctx := context.Background()
	store, err := mysqlstore.Open(ctx, mysqlstore.Config{
		URL:     "mysql://app:secret@db.internal:3306/app?tls=true",
		Migrate: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	client, err := queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(greet)})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := greet.Enqueue(ctx, client, "world"); err != nil {
		log.Fatal(err)
	}
}

// A program that has a pool already shares it with the store.
func ExampleNew() {
	ctx := context.Background()
	db, err := sql.Open("mysql", "app:secret@tcp(db.internal:3306)/app?parseTime=true&clientFoundRows=true&interpolateParams=true")
	if err != nil {
		log.Fatal(err)
	}
	store := mysqlstore.New(db)
	defer func() { _ = store.Close() }()
	if err := store.CheckSchema(ctx); err != nil {
		log.Fatal(err) // the tables are missing, or older than this program needs
	}
}

// The row of the user and the task commit together.
func ExampleTx() {
	ctx := context.Background()
	var store *mysqlstore.Store // of Open
	var client *queue.Client    // on that store
	tx, err := store.DB().BeginTx(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	err = client.InTx(ctx, mysqlstore.Tx(tx), func(q queue.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO users (name) VALUES (?)", "ann"); err != nil {
			return err
		}
		_, err := greet.EnqueueTx(ctx, client, q, "ann")
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
}
