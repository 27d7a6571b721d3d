package queue_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// stepTx is a ledger whose task has one step that writes a note in a transaction.
func stepTx(t *testing.T, f func(ctx context.Context, l *ledger, tx *sql.Tx) (string, error)) *ledger {
	t.Helper()
	var l *ledger
	l = newLedger(t, setup{}, queue.NewTask("t", func(ctx context.Context, _ any) (string, error) {
		booked, err := queue.Step(ctx, "book", func(ctx context.Context) (string, error) {
			tx := l.begin()
			defer func() { _ = tx.Rollback() }()
			if err := write(ctx, tx, "booked"); err != nil {
				return "", err
			}
			return f(ctx, l, tx)
		})
		if err != nil {
			return "", err
		}
		if info, _ := queue.InfoFrom(ctx); info.Attempt == 1 {
			return "", errBoom
		}
		return booked, nil
	}, queue.MaxAttempts(1)))
	return l
}

func TestStoreTxCommitsAStepWithItsOwnWrites(t *testing.T) {
	store := func(ctx context.Context, tx *sql.Tx) error {
		return queue.StoreTx(ctx, sqlitestore.Tx(tx), "receipt 1")
	}
	for name, f := range map[string]func(ctx context.Context, l *ledger, tx *sql.Tx) (string, error){
		"committed": func(ctx context.Context, _ *ledger, tx *sql.Tx) (string, error) {
			return "not this", errors.Join(store(ctx, tx), tx.Commit())
		},
		"committed, and failed": func(ctx context.Context, _ *ledger, tx *sql.Tx) (string, error) {
			return "", errors.Join(store(ctx, tx), tx.Commit(), errBoom) // what is committed remains
		},
	} {
		l := stepTx(t, f)
		id := l.enqueue("t", nil)
		if run := l.run(id); run.Row.Status != queue.StatusReady || !errors.Is(run.Err, errBoom) || run.Row.MaxAttempts != 2 {
			t.Errorf("%s: %s, %v, max_attempts %d", name, run.Row.Status, run.Err, run.Row.MaxAttempts)
		}
		l.notes(1)
		if run := l.run(id); string(run.Row.ReturnValue) != `"receipt 1"` {
			t.Errorf("%s: %s, %v", name, run.Row.ReturnValue, run.Err)
		}
		l.notes(1)
	}
}

func TestAStepWhoseTransactionIsNotCommittedFails(t *testing.T) {
	for name, c := range map[string]struct {
		f    func(ctx context.Context, l *ledger, tx *sql.Tx) (string, error)
		want string
	}{
		"rolled back": {func(ctx context.Context, _ *ledger, tx *sql.Tx) (string, error) {
			return "", errors.Join(queue.StoreTx(ctx, sqlitestore.Tx(tx), "x"), tx.Rollback())
		}, "step \"book\": its function called StoreTx, but the transaction was not committed"},
		"failed": {func(ctx context.Context, _ *ledger, tx *sql.Tx) (string, error) {
			return "", errors.Join(queue.StoreTx(ctx, sqlitestore.Tx(tx), "x"), errors.New("no room"))
		}, "no room"},
		"twice": {func(ctx context.Context, _ *ledger, tx *sql.Tx) (string, error) {
			return "", errors.Join(queue.StoreTx(ctx, sqlitestore.Tx(tx), "x"), queue.StoreTx(ctx, sqlitestore.Tx(tx), "y"))
		}, "StoreTx was called before"},
		"no transaction": {func(ctx context.Context, _ *ledger, _ *sql.Tx) (string, error) {
			return "", queue.StoreTx(ctx, sqlitestore.Tx(nil), "x")
		}, "nil"},
		"too many bytes": {func(ctx context.Context, _ *ledger, tx *sql.Tx) (string, error) {
			return "", queue.StoreTx(ctx, sqlitestore.Tx(tx), strings.Repeat("x", queue.DefaultMaxBytes))
		}, "at most 1048576"},
		"another step in it": {func(ctx context.Context, _ *ledger, tx *sql.Tx) (string, error) {
			err := queue.StoreTx(ctx, sqlitestore.Tx(tx), "x")
			_, nested := queue.Step(ctx, "inner", func(context.Context) (int, error) { panic("it was called") })
			return "", errors.Join(err, nested)
		}, `Step must not follow StoreTx in the function of step "book"`},
		"a lost claim": {func(ctx context.Context, l *ledger, tx *sql.Tx) (string, error) {
			if err := tx.Rollback(); err != nil { // it locks the whole database
				return "", err
			}
			info, _ := queue.InfoFrom(ctx)
			if _, _, err := l.client.Cancel(ctx, info.ID); err != nil {
				return "", err
			}
			again := l.begin()
			defer func() { _ = again.Rollback() }()
			return "", queue.StoreTx(ctx, sqlitestore.Tx(again), "x")
		}, queue.ErrLeaseLost.Error()},
	} {
		l := stepTx(t, c.f)
		run := l.run(l.enqueue("t", nil))
		if run.Err == nil || !strings.Contains(run.Err.Error(), c.want) {
			t.Errorf("%s: %v; want %s", name, run.Err, c.want)
		}
		l.notes(0)
		if row := l.row(run.Row.ID); row.Checkpoint != nil || row.MaxAttempts != 1 {
			t.Errorf("%s: checkpoint %s, max_attempts %d", name, row.Checkpoint, row.MaxAttempts)
		}
	}
	if err := queue.StoreTx(t.Context(), sqlitestore.Tx(&sql.Tx{}), "x"); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("outside a step: %v", err)
	}
}

// Another step that ends while the transaction is open is stored after it, and with it.
func TestStepsBesideStoreTx(t *testing.T) {
	var l *ledger
	l = newLedger(t, setup{}, queue.NewTask("t", func(ctx context.Context, _ any) (any, error) {
		stored, other := make(chan struct{}), make(chan error, 1)
		go func() {
			_, err := queue.Step(ctx, "other", func(context.Context) (int, error) {
				<-stored
				return 2, nil
			})
			other <- err
		}()
		_, err := queue.Step(ctx, "book", func(ctx context.Context) (int, error) {
			tx := l.begin()
			err := queue.StoreTx(ctx, sqlitestore.Tx(tx), 1)
			close(stored)
			return 1, errors.Join(err, tx.Commit())
		})
		return nil, errors.Join(err, <-other, queue.Continue(nil))
	}))
	id := l.enqueue("t", nil)
	if run := l.run(id); run.Outcome != queue.OutcomeRescheduled {
		t.Fatalf("%s, %v", run.Outcome, run.Err)
	}
	checkpoint := string(l.row(id).Checkpoint)
	if !strings.Contains(checkpoint, `"name":"book","result":1`) || !strings.Contains(checkpoint, `"name":"other","result":2`) {
		t.Errorf("checkpoint %s", checkpoint)
	}
}

// A function that leaves a step behind, whose transaction never ends, can still end.
func TestAnAbandonedStoreTxDelaysNothing(t *testing.T) {
	var l *ledger
	release, gone := make(chan struct{}), make(chan struct{})
	l = newLedger(t, setup{}, queue.NewTask("t", func(ctx context.Context, _ any) (any, error) {
		stored := make(chan error)
		go func() {
			defer close(gone)
			_, _ = queue.Step(ctx, "book", func(ctx context.Context) (int, error) {
				tx := l.begin()
				err := queue.StoreTx(ctx, sqlitestore.Tx(tx), 1)
				err = errors.Join(err, tx.Rollback())
				stored <- err
				<-release
				return 0, errBoom
			})
		}()
		return "done", <-stored
	}))
	l.runs(queue.OutcomeSucceeded, queue.StatusSuccessful, 0)
	close(release)
	<-gone
}
