package sqlstore_test

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

func keyedTask(key string) *queue.NewRow {
	row := task(0)
	row.UniqueKey, row.UniqueScope = key, queue.UniqueUnfinished
	return row
}

// What a transaction of the caller's finds under a key that another one has stored
// before it began, since then, or not committed yet.
func TestKeysInCallersTransactions(t *testing.T) {
	url := testdb.MariaDB(t)
	s := migrated(t, url, config{})
	db := raw(t, url)
	begin := func(level sql.IsolationLevel) *sql.Tx {
		tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	for _, level := range []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable} {
		for policy := range queue.RefuseDuplicate + 1 {
			key := fmt.Sprint(level, policy)
			before, since, open := keyedTask(key+" before"), keyedTask(key+" since"), keyedTask(key+" open")
			if err := s.Insert(t.Context(), before); err != nil {
				t.Fatal(err)
			}
			meets := func(tx *sql.Tx, holder *queue.NewRow) error {
				row := keyedTask(holder.UniqueKey)
				row.OnConflict = policy
				err := s.InsertTx(t.Context(), s.tx(tx), row)
				if err == nil && (!row.Existed || row.ID != holder.ID) {
					t.Errorf("%s, %d: %s, existed %t", holder.UniqueKey, policy, row.ID, row.Existed)
				}
				return err
			}
			check := func(what string, err error) {
				t.Helper()
				want := error(nil)
				if policy == queue.RefuseDuplicate {
					want = queue.ErrDuplicate
				}
				if !errors.Is(err, want) && !errors.Is(err, queue.ErrConflict) {
					t.Errorf("%s, %d, %s: %v, want %v", level, policy, what, err, want)
				}
			}
			tx := begin(level)
			if err := meets(tx, before); errors.Is(err, queue.ErrConflict) {
				t.Errorf("%s, %d, stored before: %v", level, policy, err)
			} else {
				check("stored before", err)
			}
			if err := s.Insert(t.Context(), since); err != nil {
				t.Fatal(err)
			}
			check("stored since", meets(tx, since))
			_ = tx.Rollback()

			tx, other := begin(level), begin(sql.LevelReadCommitted)
			if _, err := tx.ExecContext(t.Context(), `SELECT 1 FROM claimcheck_audit`); err != nil { // its snapshot
				t.Fatal(err)
			}
			if err := s.InsertTx(t.Context(), s.tx(other), open); err != nil {
				t.Fatal(err)
			}
			met := make(chan error, 1)
			go func() { met <- meets(tx, open) }()
			if err := other.Commit(); err != nil {
				t.Fatal(err)
			}
			check("committed while it waits", <-met)
			_ = tx.Rollback()
		}
	}
}

// A transaction that has stored a key and stays open delays the enqueues of its key
// alone, which are refused.
func TestAnOpenTransactionDelaysOnlyItsKey(t *testing.T) {
	url := testdb.MariaDB(t)
	s := migrated(t, url, config{})
	tx, err := raw(t, url).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.InsertTx(t.Context(), s.tx(tx), keyedTask("a")); err != nil {
		t.Fatal(err)
	}
	var waiting, others sync.WaitGroup
	for n := range 40 { // more than the pool has connections
		waiting.Go(func() {
			rows := []*queue.NewRow{keyedTask("a")}
			if n%2 == 0 {
				rows = append(rows, keyedTask(fmt.Sprint("other ", n)))
			}
			err := s.Insert(t.Context(), rows...)
			if !errors.Is(err, queue.ErrContended) || !errors.Is(err, queue.ErrNoEffect) || !strings.Contains(err.Error(), `unique_key "a"`) {
				t.Errorf("an enqueue of the key: %v", err)
			}
		})
	}
	for n := range 40 {
		others.Go(func() {
			row := keyedTask(fmt.Sprint(n))
			if n%2 == 0 {
				row = task(0)
			}
			if err := s.Insert(t.Context(), row); err != nil {
				t.Errorf("another enqueue: %v", err)
			}
		})
	}
	others.Wait()
	waiting.Wait()
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if row := keyedTask("a"); s.Insert(t.Context(), row) != nil || row.Existed {
		t.Error("the key is not free")
	}
}
