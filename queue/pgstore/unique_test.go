package pgstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

func keyedRow(key string) *queue.NewRow {
	return &queue.NewRow{Row: &queue.Row{
		ID: uuid.Must(uuid.NewV7()), Task: "t", Queue: "default", Backend: "default", Args: json.RawMessage(`1`), MaxAttempts: 3,
		UniqueKey: key, UniqueScope: queue.UniqueUnfinished,
	}, FreshID: true}
}

// callersTx begins a transaction on a connection of its own.
func callersTx(t *testing.T, url string, level pgx.TxIsoLevel) pgx.Tx {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	tx, err := conn.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: level})
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

// What a transaction of the caller's finds under a key that another one has stored
// before it began, since then, or not committed yet.
func TestKeysInCallersTransactions(t *testing.T) {
	config := pgstore.Config{URL: testdb.Postgres(t)}
	s := migrated(t, config)
	for level, conflict := range map[pgx.TxIsoLevel]bool{pgx.ReadCommitted: false, pgx.RepeatableRead: true, pgx.Serializable: true} {
		for n, policy := range []queue.Conflict{queue.ReturnExisting, queue.ReplaceExisting, queue.RefuseDuplicate} {
			key := fmt.Sprint(level, n)
			before, since, open := keyedRow(key+" before"), keyedRow(key+" since"), keyedRow(key+" open")
			if err := s.Insert(t.Context(), before); err != nil {
				t.Fatal(err)
			}
			meets := func(tx pgx.Tx, holder *queue.NewRow) error {
				row := keyedRow(holder.UniqueKey)
				row.OnConflict = policy
				err := s.InsertTx(t.Context(), pgstore.Tx(tx), row)
				if err == nil && (!row.Existed || row.ID != holder.ID) {
					t.Errorf("%s, %d: %s, existed %t", holder.UniqueKey, policy, row.ID, row.Existed)
				}
				return err
			}
			check := func(what string, err error, conflict bool) {
				t.Helper()
				want := error(nil)
				switch {
				case conflict:
					want = queue.ErrConflict
				case policy == queue.RefuseDuplicate:
					want = queue.ErrDuplicate
				}
				if !errors.Is(err, want) || want == queue.ErrConflict && !errors.Is(err, queue.ErrContended) {
					t.Errorf("%s, %d, %s: %v, want %v", level, policy, what, err, want)
				}
			}
			tx := callersTx(t, config.URL, level)
			check("stored before", meets(tx, before), false)
			if err := s.Insert(t.Context(), since); err != nil {
				t.Fatal(err)
			}
			check("stored since", meets(tx, since), conflict)
			_ = tx.Rollback(t.Context())

			tx, other := callersTx(t, config.URL, level), callersTx(t, config.URL, pgx.ReadCommitted)
			if _, err := tx.Exec(t.Context(), `SELECT 1 FROM claimcheck_tasks`); err != nil { // its snapshot
				t.Fatal(err)
			}
			if err := s.InsertTx(t.Context(), pgstore.Tx(other), open); err != nil {
				t.Fatal(err)
			}
			met := make(chan error, 1)
			go func() { met <- meets(tx, open) }()
			if err := other.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			check("committed while it waits", <-met, conflict)
			_ = tx.Rollback(t.Context())
			endedSince(t, config.URL, s, level, policy, conflict)
		}
	}
}

// endedSince checks what a transaction finds under a key whose row has ended, or was
// deleted, since it began, and that a row which has not is not locked by it.
func endedSince(t *testing.T, url string, s *pgstore.Store, level pgx.TxIsoLevel, policy queue.Conflict, conflict bool) {
	t.Helper()
	for _, deleted := range []bool{false, true} {
		holder, other := keyedRow(fmt.Sprint(level, policy, deleted)), keyedRow(fmt.Sprint(level, policy, deleted, " other"))
		if err := s.Insert(t.Context(), holder, other); err != nil {
			t.Fatal(err)
		}
		tx := callersTx(t, url, level)
		meets := func(holder *queue.NewRow) (*queue.NewRow, error) {
			row := keyedRow(holder.UniqueKey)
			row.OnConflict = policy
			return row, s.InsertTx(t.Context(), pgstore.Tx(tx), row)
		}
		if _, err := tx.Exec(t.Context(), `SAVEPOINT s; SELECT 1 FROM claimcheck_tasks`); err != nil { // its snapshot
			t.Fatal(err)
		}
		if _, err := meets(other); policy != queue.RefuseDuplicate && err != nil {
			t.Fatal(err)
		}
		if policy == queue.ReturnExisting {
			testdb.Exec(t, url, `UPDATE claimcheck_tasks SET priority = 1 WHERE id = '`+other.ID.String()+`'`) // it is not locked
		}
		if _, err := tx.Exec(t.Context(), `ROLLBACK TO SAVEPOINT s`); err != nil {
			t.Fatal(err)
		}
		if deleted {
			testdb.Exec(t, url, `DELETE FROM claimcheck_tasks WHERE id = '`+holder.ID.String()+`'`)
		} else if _, _, err := s.Cancel(t.Context(), holder.ID); err != nil {
			t.Fatal(err)
		}
		row, err := meets(holder)
		if errors.Is(err, queue.ErrConflict) != conflict || !conflict && (err != nil || row.Existed) {
			t.Errorf("%s, %d, ended since (deleted: %t): existed %t, %v", level, policy, deleted, row.Existed, err)
		}
		_ = tx.Rollback(t.Context())
	}
}

// A transaction that has stored a key and stays open delays neither the enqueues of
// others nor takes their connections; the enqueues of its key are refused.
func TestAnOpenTransactionDelaysOnlyItsKey(t *testing.T) {
	config := pgstore.Config{URL: testdb.Postgres(t), MaxConns: 3}
	s := migrated(t, config)
	tx := callersTx(t, config.URL, pgx.ReadCommitted)
	if err := s.InsertTx(t.Context(), pgstore.Tx(tx), keyedRow("a")); err != nil {
		t.Fatal(err)
	}
	var waiting, others sync.WaitGroup
	for n := range 20 {
		waiting.Go(func() {
			rows := []*queue.NewRow{keyedRow("a")}
			if n%2 == 0 {
				rows = append(rows, keyedRow(fmt.Sprint("other ", n)))
			}
			err := s.Insert(t.Context(), rows...)
			if !errors.Is(err, queue.ErrContended) || !errors.Is(err, queue.ErrNoEffect) || errors.Is(err, queue.ErrLocked) {
				t.Errorf("an enqueue of the key: %v", err)
			}
		})
	}
	for n := range 100 {
		others.Go(func() {
			row := keyedRow(fmt.Sprint(n))
			if n%2 == 0 {
				row.UniqueKey = ""
			}
			if err := s.Insert(t.Context(), row); err != nil {
				t.Errorf("another enqueue: %v", err)
			}
		})
	}
	others.Wait()
	waiting.Wait()
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if row := keyedRow("a"); s.Insert(t.Context(), row) != nil || row.Existed {
		t.Error("the key is not free")
	}
}

// A table that was partitioned (docs/scaling.md) is migrated, and refuses keys.
func TestAPartitionedTableRefusesKeys(t *testing.T) {
	config := pgstore.Config{URL: testdb.Postgres(t)}
	s := migrated(t, config)
	migration, err := os.ReadFile("migrations/00009_unique.sql")
	if err != nil {
		t.Fatal(err)
	}
	up, _, _ := strings.Cut(string(migration), "-- +goose Down")
	testdb.Exec(t, config.URL, `DROP INDEX claimcheck_tasks_unique;
ALTER TABLE claimcheck_tasks RENAME TO claimcheck_tasks_rows;
CREATE TABLE claimcheck_tasks (LIKE claimcheck_tasks_rows INCLUDING ALL) PARTITION BY RANGE (id);
CREATE TABLE claimcheck_tasks_other PARTITION OF claimcheck_tasks DEFAULT;`+up)
	for _, rows := range [][]*queue.NewRow{{keyedRow("a")}, {keyedRow("a"), keyedRow("b")}} {
		if err := s.Insert(t.Context(), rows...); !errors.Is(err, queue.ErrUnsupported) {
			t.Errorf("Insert: %v", err)
		}
	}
	row := keyedRow("")
	row.UniqueScope = queue.UniqueReleased
	if err := s.Insert(t.Context(), row); err != nil {
		t.Error(err)
	}
}
