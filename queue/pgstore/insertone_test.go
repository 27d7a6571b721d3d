package pgstore

import (
	"encoding/json"
	"errors"
	"math"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// newRow is a new row that is claimable at once and has no optional column.
func newRow(changes ...func(*queue.NewRow)) *queue.NewRow {
	row := &queue.NewRow{FreshID: true, Row: &queue.Row{
		ID: uuid.Must(uuid.NewV7()), Task: "t", Queue: "q", Backend: "b", Priority: -3,
		Args: json.RawMessage(`{"a": "ü", "b":[1,  2]}`), MaxAttempts: 3,
	}}
	for _, change := range changes {
		change(row)
	}
	return row
}

// onEachConnection runs a test on a migrated store for each of connections.
func onEachConnection(t *testing.T, test func(*testing.T, *Store)) {
	for how, config := range connections {
		t.Run(how, func(t *testing.T) {
			u, err := url.Parse(testdb.Postgres(t))
			if err != nil {
				t.Fatal(err)
			}
			if config.URL != "" {
				query := u.Query()
				query.Set("default_transaction_isolation", "serializable")
				u.RawQuery = query.Encode()
			}
			s, err := Open(t.Context(), Config{URL: u.String(), Pooler: config.Pooler, Migrate: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			s.explicit.Store(config.URL != "")
			test(t, s)
		})
	}
}

// A new row is stored as any other: whichever statement stores it, all its columns have
// the same values, but for the ID and what now() is.
func TestANewRowIsStoredAsAnyOther(t *testing.T) {
	onEachConnection(t, func(t *testing.T, s *Store) {
		for name, change := range map[string]func(*queue.NewRow){
			"plain":      func(*queue.NewRow) {},
			"dispatched": func(row *queue.NewRow) { row.WillDispatch = true },
			"timeout":    func(row *queue.NewRow) { row.Timeout = time.Microsecond },
			"trace":      func(row *queue.NewRow) { row.TraceContext = "trace" },
			"delay":      func(row *queue.NewRow) { row.Delay = time.Hour },
			"run after":  func(row *queue.NewRow) { row.RunAfter = time.Date(2999, 2, 3, 4, 5, 6, 0, time.UTC) },
			"past":       func(row *queue.NewRow) { row.RunAfter = time.Date(1999, 2, 3, 4, 5, 6, 0, time.UTC) },
		} {
			fresh, other := newRow(change), newRow(change)
			other.FreshID = false
			for _, row := range []*queue.NewRow{fresh, other} {
				if err := s.Insert(t.Context(), row); err != nil || row.Existed {
					t.Fatalf("%s: existed %t, %v", name, row.Existed, err)
				}
				stored, err := s.Get(t.Context(), row.ID)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(stored, row.Row); diff != "" {
					t.Errorf("%s: stored (-) and answered (+):\n%s", name, diff)
				}
			}
			if diff := cmp.Diff(allColumns(t, s, other.ID), allColumns(t, s, fresh.ID)); diff != "" {
				t.Errorf("%s: stored with ON CONFLICT (-) and as a new row (+):\n%s", name, diff)
			}
		}
	})
}

// allColumns returns the columns of a row as text, without the ID, and times as their
// distance from enqueued_at.
func allColumns(t *testing.T, s *Store, id uuid.UUID) (row map[string]any) {
	t.Helper()
	err := s.on(t.Context(), "read a row", func(conn *pgx.Conn) error {
		return conn.QueryRow(t.Context(), `SELECT to_jsonb(t) - 'id' - 'enqueued_at' || jsonb_build_object('args', args::text, 'dispatch_due_at', dispatch_due_at - CASE WHEN dispatch_due_at > '2500-01-01' THEN '2500-01-01' ELSE enqueued_at END,
			'run_after', CASE WHEN run_after BETWEEN '2000-01-01' AND '2500-01-01' THEN run_after - enqueued_at ELSE run_after - '2000-01-01' END)
			FROM claimcheck_tasks AS t WHERE id = $1::uuid`, uuidValue(id)).Scan(&row)
	})
	if err != nil {
		t.Fatal(err)
	}
	return row
}

// An ID is declared new, and exists.
func TestANewRowThatExists(t *testing.T) {
	onEachConnection(t, func(t *testing.T, s *Store) {
		first := newRow()
		if err := s.Insert(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if result, err := s.tryInsert(t.Context(), first); result.Served || err != nil {
			t.Errorf("it is left to the statement with ON CONFLICT: served %t, %v", result.Served, err)
		}
		again := newRow(func(row *queue.NewRow) { row.ID = first.ID })
		if err := s.Insert(t.Context(), again); err != nil || !again.Existed {
			t.Errorf("the same task: existed %t, %v", again.Existed, err)
		}
		if diff := cmp.Diff(first.Row, again.Row); diff != "" {
			t.Errorf("the row that exists (-) and the answer (+):\n%s", diff)
		}
		other := newRow(func(row *queue.NewRow) { row.ID, row.Args = first.ID, json.RawMessage(`1`) })
		var conflict *queue.IDConflictError
		if err := s.Insert(t.Context(), other); !errors.As(err, &conflict) || conflict.ID != first.ID {
			t.Errorf("another task: %v", err)
		}
	})
}

// A value that the table does not hold is refused with the same error as in any other row.
func TestANewRowThatDoesNotFit(t *testing.T) {
	onEachConnection(t, func(t *testing.T, s *Store) {
		for name, spoil := range map[string]func(*queue.NewRow){
			"a priority beyond 16 bits": func(row *queue.NewRow) { row.Priority = math.MaxInt16 + 1 },
			"attempts beyond 32 bits":   func(row *queue.NewRow) { row.MaxAttempts = math.MaxInt32 + 1 },
			"no JSON":                   func(row *queue.NewRow) { row.Args = json.RawMessage(`{`) },
			"a zero byte":               func(row *queue.NewRow) { row.Task = "\x00" },
			"no UTF-8":                  func(row *queue.NewRow) { row.Queue = "\xff" },
			"no ID":                     func(row *queue.NewRow) { row.ID = uuid.Nil },
		} {
			var codes [2]string
			for i, fresh := range []bool{true, false} {
				row := newRow(spoil)
				row.FreshID = fresh
				var pgErr *pgconn.PgError
				if err := s.Insert(t.Context(), row); !errors.As(err, &pgErr) {
					t.Fatalf("%s, new %t: %v", name, fresh, err)
				}
				codes[i] = pgErr.Code
			}
			if codes[0] != codes[1] {
				t.Errorf("%s: error %s for a new row, and %s for any other", name, codes[0], codes[1])
			}
		}
	})
}
