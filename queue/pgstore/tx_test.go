package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

// Within InTx neither the transaction's own Tx nor a savepoint's is what dispatches
// after the commit; both are refused, and the one that InTx gives works inside a
// savepoint too.
func TestEnqueueTxWithinInTxNeedsItsOwnTx(t *testing.T) {
	t.Parallel()
	config := pgstore.Config{URL: testdb.Postgres(t)}
	store := migrated(t, config)
	pool, err := pgxpool.New(t.Context(), config.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	task := queue.Declare[any, any]("t")
	client, err := queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(task)})
	if err != nil {
		t.Fatal(err)
	}
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var handle *queue.Handle
	err = client.InTx(t.Context(), pgstore.Tx(tx), func(q queue.Tx) error {
		savepoint, err := tx.Begin(t.Context())
		if err != nil {
			return err
		}
		for name, wrong := range map[string]queue.Tx{"outer": pgstore.Tx(tx), "savepoint": pgstore.Tx(savepoint)} {
			if _, err := task.EnqueueTx(t.Context(), client, wrong, nil); !errors.Is(err, queue.ErrInvalid) || !strings.Contains(err.Error(), "within InTx") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if handle, err = task.EnqueueTx(t.Context(), client, q, nil); err != nil {
			return err
		}
		return savepoint.Commit(t.Context())
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Get(t.Context(), handle.ID); err != nil {
		t.Error(err)
	}
	if _, err := task.EnqueueTx(t.Context(), client, pgstore.Tx(nil), nil); !errors.Is(err, queue.ErrInvalid) || !strings.Contains(err.Error(), "pgstore.Tx") {
		t.Errorf("nil transaction: %v", err)
	}
}

func TestNewPanicsForANilPool(t *testing.T) {
	t.Parallel()
	defer func() {
		if got := fmt.Sprint(recover()); !strings.Contains(got, "the pool is nil") {
			t.Errorf("panic %q", got)
		}
	}()
	pgstore.New(nil)
}

// StartLocal refuses a database without tables and says how to create them.
func TestStartLocalOnAnUnmigratedDatabase(t *testing.T) {
	t.Parallel()
	store := open(t, pgstore.Config{URL: testdb.Postgres(t)})
	task := queue.NewTask("t", func(context.Context, any) (any, error) { return nil, nil })
	_, err := queue.StartLocal(t.Context(), queue.Config{Store: store, Registry: queue.NewRegistry(task)})
	if !errors.Is(err, queue.ErrSchema) || !strings.Contains(err.Error(), "call the store's Migrate before StartLocal") {
		t.Errorf("%v", err)
	}
}
