package pgstore_test

import (
	"context"
	"log"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

type welcomeArgs struct {
	UserID int `json:"user_id"`
}

var sendWelcome = queue.Declare[welcomeArgs, string]("emails.send_welcome")

// A store with a pool of its own, and the tables up to date.
func ExampleOpen() {
	ctx := context.Background()
	store, err := pgstore.Open(ctx, pgstore.Config{
		URL:     "postgres://app:secret@db.internal:5432/app?sslmode=verify-full",
		Migrate: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	client, err := queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(sendWelcome)})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := sendWelcome.Enqueue(ctx, client, welcomeArgs{UserID: 7}); err != nil {
		log.Fatal(err)
	}
}

// A program that has a pool already shares it with the store. One connection of it is
// kept for heartbeats and for storing results, so it must have at least two.
func ExampleNew() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	store := pgstore.New(pool)
	if err := store.CheckSchema(ctx); err != nil {
		log.Fatal(err) // the tables are missing, or older than this program needs
	}
}

// A deployment that migrates in a step of its own calls Migrate there, and CheckSchema
// when the program starts. [MigrationSQL] is for programs with their own tool.
func ExampleStore_Migrate() {
	ctx := context.Background()
	store, err := pgstore.Open(ctx, pgstore.Config{URL: os.Getenv("DATABASE_URL")})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	applied, err := store.Migrate(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, step := range applied {
		log.Printf("applied %s in %s", step.Name, step.Took)
	}
}

// A user and the task that sends the welcome mail are stored together, or not at all.
func ExampleTx() {
	register := func(ctx context.Context, pool *pgxpool.Pool, client *queue.Client, id int, email string) error {
		tx, err := pool.Begin(ctx)
		if err != nil {
			return err
		}
		return client.InTx(ctx, pgstore.Tx(tx), func(q queue.Tx) error { // commits and dispatches, or rolls back
			if _, err := tx.Exec(ctx, "INSERT INTO users (id, email) VALUES ($1, $2)", id, email); err != nil {
				return err
			}
			_, err := sendWelcome.EnqueueTx(ctx, client, q, welcomeArgs{UserID: id})
			return err
		})
	}
	_ = register
}

type chargeArgs struct {
	Order, Amount int
}

type receipt struct {
	Amount int
}

// A task's own writes and its success are committed together, so that its effect
// happens once, however often it runs.
func ExampleTx_complete() {
	var pool *pgxpool.Pool
	charge := queue.NewTask("orders.charge", func(ctx context.Context, in chargeArgs) (receipt, error) {
		tx, err := pool.Begin(ctx)
		if err != nil {
			return receipt{}, err
		}
		defer func() { _ = tx.Rollback(ctx) }()
		if _, err := tx.Exec(ctx, "INSERT INTO charges (order_id, amount) VALUES ($1, $2)", in.Order, in.Amount); err != nil {
			return receipt{}, err
		}
		out := receipt{Amount: in.Amount}
		if err := queue.CompleteTx(ctx, pgstore.Tx(tx), out); err != nil {
			return receipt{}, err
		}
		return out, tx.Commit(ctx)
	})
	_ = charge
}
