package memstore_test

import (
	"testing"

	"example.com/memstore"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/storetest"
)

// TestStore runs the suite that every store passes.
func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Open: func(*testing.T) queue.Store { return memstore.New() },
		Begin: func(t *testing.T, store queue.Store) queue.Tx {
			tx, err := store.(*memstore.Store).Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return tx
		},
		OneWriter: true, // a transaction locks all rows
	})
}
