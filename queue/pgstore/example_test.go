package pgstore_test

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

type welcomeArgs struct {
	UserID int `json:"user_id"`
}

var sendWelcome = queue.Declare[welcomeArgs, string]("emails.send_welcome")

// A user and the task that welcomes him exist together, or not at all.
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

// What a task writes and its success become durable together, so that its
// effect happens once, however often it runs.
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
