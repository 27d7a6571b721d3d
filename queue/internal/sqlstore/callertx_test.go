package sqlstore_test

import (
	"database/sql"
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

func TestCallersSerializableTransactions(t *testing.T) {
	url := testdb.MariaDB(t)
	s := migrated(t, url, config{})
	row := task(0)
	if err := s.Insert(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	claimed, err := s.Claim(t.Context(), row.ID, claimRequest())
	if err != nil {
		t.Fatal(err)
	}
	tx, err := raw(t, url).BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelSerializable})
	if err != nil {
		t.Fatal(err)
	}
	next := task(1)
	if err := s.InsertTx(t.Context(), s.tx(tx), next); err != nil {
		t.Error(err)
	}
	if _, err := s.FinishTx(t.Context(), s.tx(tx), claimed.Claim(), queue.Finish{Status: queue.StatusSuccessful}); err != nil {
		t.Error(err)
	}
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
	for id, want := range map[uuid.UUID]queue.Status{row.ID: queue.StatusSuccessful, next.ID: queue.StatusReady} {
		if got, err := s.Get(t.Context(), id); err != nil || got.Status != want {
			t.Errorf("%+v, %v; want %s", got, err, want)
		}
	}
}

// As many transactions of callers as the pool has connections do not wait for another one.
func TestABacklogIsCountedWithoutAnotherConnection(t *testing.T) {
	s := migrated(t, testdb.MariaDB(t), config{MaxConns: 2})
	for range 2 {
		tx, err := s.DB().BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()
		counter := any(s.full).(queue.BacklogCounter)
		if n, err := counter.CountReady(t.Context(), s.tx(tx), "default", "default", 10); n != 0 || err != nil {
			t.Errorf("counted %d, %v", n, err)
		}
		if err := s.InsertTx(t.Context(), s.tx(tx), task(0)); err != nil {
			t.Error(err)
		}
	}
}
