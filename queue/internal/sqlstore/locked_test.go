package sqlstore_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue/storetest"
)

func TestLockedRowsDelayNothingElse(t *testing.T) {
	url := testdb.MariaDB(t)
	s := migrated(t, url, config{MaxConns: 4})
	storetest.LockedRows(t, s, func(t *testing.T, ids ...uuid.UUID) {
		t.Helper()
		tx, err := raw(t, url).BeginTx(t.Context(), nil) // rolled back with its context
		if err != nil {
			t.Fatal(err)
		}
		args := make([]any, len(ids))
		for i, id := range ids {
			args[i] = id
		}
		// By the primary key, or InnoDB would lock the other rows with them.
		query := "UPDATE claimcheck_tasks FORCE INDEX (PRIMARY) SET interruptions = interruptions WHERE id IN (?" + strings.Repeat(", ?", len(ids)-1) + ")"
		if _, err := tx.ExecContext(t.Context(), query, args...); err != nil {
			t.Fatal(err)
		}
	})
}
