package queuetest_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/queuetest"
	"github.com/claimcheck-go/claimcheck/queue/storetest"
)

// TestStore runs the suite that every store passes.
func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Open: func(*testing.T) queue.Store { return queuetest.NewTickingStore() },
		Begin: func(t *testing.T, store queue.Store) queue.Tx {
			tx, err := store.(*queuetest.Store).Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return tx
		},
		OneWriter: true, // a transaction locks all rows
		SetFinishedAt: func(_ *testing.T, store queue.Store, id uuid.UUID, at time.Time) {
			store.(*queuetest.Store).SetFinishedAt(id, at)
		},
		SetDeleteAt: func(_ *testing.T, store queue.Store, id uuid.UUID, at time.Time) {
			store.(*queuetest.Store).SetDeleteAt(id, at)
		},
	})
}
