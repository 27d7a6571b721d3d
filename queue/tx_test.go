package queue_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// ledger is a system with a table of the user's own beside the tasks.
type ledger struct {
	*system
	db *sql.DB
}

func newLedger(t *testing.T, s setup, defs ...queue.Definition) *ledger {
	t.Helper()
	store := newStore(t)
	s.store = store
	l := &ledger{newSystem(t, s, defs...), store.DB()}
	if _, err := l.db.ExecContext(t.Context(), "CREATE TABLE ledger (note TEXT)"); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *ledger) begin() *sql.Tx {
	l.t.Helper()
	tx, err := l.db.BeginTx(l.t.Context(), nil)
	if err != nil {
		l.t.Fatal(err)
	}
	return tx
}

func write(ctx context.Context, tx *sql.Tx, note string) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO ledger VALUES (?)", note)
	return err
}

// notes checks how many there are.
func (l *ledger) notes(want int) {
	l.t.Helper()
	var n int
	if err := l.db.QueryRowContext(context.Background(), "SELECT count(*) FROM ledger").Scan(&n); err != nil || n != want {
		l.t.Errorf("%d notes, %v; want %d", n, err, want)
	}
}

func TestEnqueueTxDispatchesOnCommit(t *testing.T) {
	out := &recorder{}
	var hooked []uuid.UUID
	welcome := queue.NewTask("t", nothing)
	l := newLedger(t, setup{dispatch: out, client: queue.Config{Hooks: queue.Hooks{Enqueued: func(_ context.Context, row *queue.Row) { hooked = append(hooked, row.ID) }}}}, welcome)
	tx := l.begin()
	var handle *queue.Handle
	err := l.client.InTx(t.Context(), sqlitestore.Tx(tx), func(q queue.Tx) (err error) {
		if err := write(t.Context(), tx, "user"); err != nil {
			return err
		}
		handle, err = welcome.EnqueueTx(t.Context(), l.client, q, nil)
		if len(out.sent()) != 0 {
			t.Error("it went out before the commit")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	l.notes(1)
	if sent := out.sent(); len(sent) != 1 || sent[0].ID != handle.ID || len(hooked) != 1 || hooked[0] != handle.ID {
		t.Errorf("sent %v, hooked %v, want %s", sent, hooked, handle.ID)
	}
	l.sweep(0, queue.SweepResult{})
	l.run(handle.ID)
}

func TestEnqueueTxIsGoneAfterARollback(t *testing.T) {
	out := &recorder{}
	welcome := queue.NewTask("t", nothing)
	l := newLedger(t, setup{dispatch: out}, welcome)
	boom := errors.New("boom")
	for name, end := range map[string]func() error{
		"error": func() error { return boom },
		"panic": func() error { panic(boom) },
	} {
		t.Run(name, func(t *testing.T) {
			tx := l.begin()
			var id uuid.UUID
			defer func() {
				if value := recover(); (value == nil) != (name == "error") {
					t.Errorf("recovered %v", value)
				}
				l.notes(0)
				if _, err := l.client.Get(t.Context(), id); !errors.Is(err, queue.ErrNotFound) {
					t.Errorf("the task: %v", err)
				}
				if n := len(out.sent()); n != 0 {
					t.Errorf("%d tickets", n)
				}
			}()
			err := l.client.InTx(t.Context(), sqlitestore.Tx(tx), func(q queue.Tx) error {
				handle, err := welcome.EnqueueTx(t.Context(), l.client, q, nil)
				if err != nil {
					return err
				}
				id = handle.ID
				if err := write(t.Context(), tx, "user"); err != nil {
					return err
				}
				return end()
			})
			if !errors.Is(err, boom) {
				t.Errorf("InTx: %v", err)
			}
		})
	}
}

func TestEnqueueTxInABareTransactionIsTheSweepersOrTheCallers(t *testing.T) {
	out := &recorder{}
	l := newLedger(t, setup{dispatch: out}, queue.NewTask("t", nothing))
	tx := l.begin()
	handles, err := l.client.EnqueueManyTx(t.Context(), sqlitestore.Tx(tx), queue.Request{Task: "t"}, queue.Request{Task: "t", Args: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if n := len(out.sent()); n != 0 {
		t.Errorf("%d tickets", n)
	}
	l.client.Dispatch(t.Context(), handles...)
	if n := len(out.sent()); n != 2 {
		t.Errorf("%d tickets", n)
	}
	l.sweep(0, queue.SweepResult{Dispatched: 2}) // as if the caller had not
}

func TestEnqueueTxRefusesBadRequests(t *testing.T) {
	l := newLedger(t, setup{}, queue.NewTask("t", nothing))
	id := l.enqueue("t", nil, queue.WithID(uuid.New()))
	tx := l.begin()
	defer func() { _ = tx.Rollback() }()
	q := sqlitestore.Tx(tx)
	var refused *queue.RequestError
	if _, err := l.client.EnqueueTx(t.Context(), q, "unknown", nil); !errors.As(err, &refused) || !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("unknown task: %v", err)
	}
	if _, err := l.client.EnqueueTx(t.Context(), q, "t", "other", queue.WithID(id)); !errors.As(err, &refused) || !errors.Is(err, queue.ErrIDConflict) {
		t.Errorf("taken id: %v", err)
	}
	if _, err := l.client.EnqueueTx(t.Context(), nil, "t", nil); !errors.Is(err, queue.ErrInvalid) || !strings.Contains(err.Error(), "sqlitestore.Tx") {
		t.Errorf("no transaction: %v", err)
	}
}
