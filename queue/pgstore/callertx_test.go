package pgstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

func TestCallersSerializableTransactions(t *testing.T) {
	config := pgstore.Config{URL: testdb.Postgres(t)}
	s := migrated(t, config)
	begin := func() pgx.Tx {
		conn, err := pgx.Connect(t.Context(), config.URL)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
		tx, err := conn.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.Serializable})
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	fresh := func() *queue.NewRow {
		return &queue.NewRow{Row: &queue.Row{ID: uuid.Must(uuid.NewV7()), Task: "t", Queue: "default", Backend: "default", Args: json.RawMessage(`1`), MaxAttempts: 3}, FreshID: true}
	}
	claimed := func() queue.Claim {
		row := fresh()
		if err := s.Insert(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		got, err := s.Claim(t.Context(), row.ID, queue.ClaimRequest{Tasks: []string{"t"}, Worker: "w", Lease: time.Minute, ClaimID: uuid.New()})
		if err != nil {
			t.Fatal(err)
		}
		return got.Claim()
	}
	done := queue.Finish{Status: queue.StatusSuccessful}

	claim, next, tx := claimed(), fresh(), begin()
	if err := s.InsertTx(t.Context(), pgstore.Tx(tx), next); err != nil {
		t.Error(err)
	}
	if _, err := s.FinishTx(t.Context(), pgstore.Tx(tx), claim, done); err != nil {
		t.Error(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Error(err)
	}
	for id, want := range map[uuid.UUID]queue.Status{claim.ID: queue.StatusSuccessful, next.ID: queue.StatusReady} {
		if row, err := s.Get(t.Context(), id); err != nil || row.Status != want {
			t.Errorf("%+v, %v; want %s", row, err, want)
		}
	}

	// A heartbeat after the transaction's snapshot.
	claim, tx = claimed(), begin()
	if _, err := tx.Exec(t.Context(), "SELECT 1 FROM claimcheck_tasks"); err != nil {
		t.Fatal(err)
	}
	if renewed, _, err := s.Heartbeat(t.Context(), time.Minute, claim); err != nil || len(renewed) != 1 {
		t.Fatalf("heartbeat: %v, %v", renewed, err)
	}
	_, err := s.FinishTx(t.Context(), pgstore.Tx(tx), claim, done)
	if !errors.Is(err, queue.ErrContended) || !strings.Contains(err.Error(), "begin it with READ COMMITTED") || strings.Contains(err.Error(), "unavailable") {
		t.Errorf("a finish after a heartbeat: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Error(err)
	}
	if row, err := s.Get(t.Context(), claim.ID); err != nil || row.Status != queue.StatusRunning {
		t.Errorf("%+v, %v", row, err)
	}
}
