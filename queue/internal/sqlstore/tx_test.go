package sqlstore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/mysqlstore"
)

// A transaction that the Tx of the other package made is in another database.
func TestATransactionOfTheOtherStoreIsRefused(t *testing.T) {
	s := migrated(t, "sqlite::memory:", config{})
	tx, err := s.DB().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	err = s.InsertTx(t.Context(), mysqlstore.Tx(tx), task(0))
	if !errors.Is(err, queue.ErrInvalid) || !strings.Contains(err.Error(), "sqlitestore.Tx returns, not mysqlstore.Tx") {
		t.Errorf("InsertTx: %v", err)
	}
}
