package sqlstore_test

import (
	"database/sql"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
)

// What a caller's transaction looks for in vain does not keep other tasks from being
// stored, or from ending, until it ends.
func TestCallersTransactionsLockNoGap(t *testing.T) {
	url := dedicated(t, "--innodb-lock-wait-timeout=1")
	s := migrated(t, url, config{})
	db := raw(t, url)
	withID := func(row *queue.NewRow) *queue.NewRow {
		row.FreshID = false
		return row
	}
	holders := func(t *testing.T, keys ...string) (rows []*queue.NewRow) {
		t.Helper()
		for _, key := range keys {
			rows = append(rows, keyedTask(t.Name()+key))
		}
		if err := s.Insert(t.Context(), rows...); err != nil {
			t.Fatal(err)
		}
		return rows
	}
	insert := func(t *testing.T, tx *sql.Tx, rows ...*queue.NewRow) {
		t.Helper()
		if err := s.InsertTx(t.Context(), s.tx(tx), rows...); err != nil {
			t.Fatal(err)
		}
	}
	for name, act := range map[string]func(t *testing.T, begin func() *sql.Tx){
		"looking for an ID": func(t *testing.T, begin func() *sql.Tx) {
			exist, err := any(s.full).(queue.BacklogCounter).Existing(t.Context(), s.tx(begin()), withID(task(0)), withID(keyedTask("a")))
			if err != nil || exist[0] || exist[1] {
				t.Errorf("%v, %v", exist, err)
			}
		},
		"a new ID under keys that are held": func(t *testing.T, begin func() *sql.Tx) {
			held := holders(t, "a", "b")
			rows := []*queue.NewRow{withID(keyedTask(held[0].UniqueKey)), withID(keyedTask(held[1].UniqueKey))}
			insert(t, begin(), rows...)
			for i, row := range rows {
				if !row.Existed || row.ID != held[i].ID {
					t.Errorf("%s: existed %t", row.ID, row.Existed)
				}
			}
		},
		"keys of tasks that have ended since the snapshot": func(t *testing.T, begin func() *sql.Tx) {
			held := holders(t, "a", "b", "c")
			tx := begin()
			for _, row := range held {
				if _, _, err := s.Cancel(t.Context(), row.ID); err != nil {
					t.Fatal(err)
				}
			}
			row := keyedTask(held[1].UniqueKey)
			insert(t, tx, row)
			if row.Existed {
				t.Errorf("%s exists", row.ID)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			other := task(0)
			if err := s.Insert(t.Context(), other); err != nil {
				t.Fatal(err)
			}
			claimed, err := s.Claim(t.Context(), other.ID, claimRequest())
			if err != nil {
				t.Fatal(err)
			}
			act(t, func() *sql.Tx {
				tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = tx.Rollback() })
				if _, err := tx.ExecContext(t.Context(), `SELECT 1 FROM claimcheck_audit`); err != nil { // its snapshot
					t.Fatal(err)
				}
				return tx
			})
			if err := s.Insert(t.Context(), task(0)); err != nil {
				t.Errorf("a task that is stored meanwhile: %v", err)
			}
			if _, err := s.Finish(t.Context(), claimed.Claim(), queue.Finish{Status: queue.StatusSuccessful}); err != nil {
				t.Errorf("a task that ends meanwhile: %v", err)
			}
			if err := s.Insert(t.Context(), keyedTask("zz "+t.Name())); err != nil {
				t.Errorf("a task with another key: %v", err)
			}
		})
	}
}
