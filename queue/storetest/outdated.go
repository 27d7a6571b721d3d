package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// GatedStore is a store that can pause queues.
type GatedStore interface {
	queue.Store
	queue.Gatekeeper
}

// RunOutdated checks that the database of an empty store refuses, while there are gates,
// all claims of programs from before: their claim IDs have version 4, and they would
// claim rows of paused queues.
func RunOutdated(t *testing.T, s GatedStore) {
	t.Helper()
	ctx := t.Context()
	var ids []uuid.UUID
	for range 5 {
		row := &queue.NewRow{Row: &queue.Row{ID: uuid.Must(uuid.NewV7()), Task: "t", Queue: "q", Backend: "default", Args: []byte(`{}`), MaxAttempts: 3}}
		if err := s.Insert(ctx, row); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, row.ID)
	}
	claim := func(id, claimID uuid.UUID, lease time.Duration) (*queue.Row, error) {
		return s.Claim(ctx, id, queue.ClaimRequest{Tasks: []string{"t"}, Worker: "old", Lease: lease, ClaimID: claimID})
	}
	running, err := claim(ids[0], uuid.New(), time.Hour)
	if err != nil {
		t.Fatalf("without gates: %v", err)
	}
	expired, err := claim(ids[1], uuid.New(), -time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.PauseQueue(ctx, "another", "ops", ""); err != nil {
		t.Fatal(err)
	}
	for name, id := range map[string]uuid.UUID{"READY": ids[2], "expired": ids[1]} {
		if _, err := claim(id, uuid.New(), time.Hour); !errors.Is(err, queue.ErrOutdated) || errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrOutdated", name, err)
		}
	}
	pull := queue.ClaimNextRequest{Tasks: []string{"t"}, Limit: 2, Worker: "old", Lease: time.Hour, Fence: uuid.New()}
	if rows, err := s.ClaimNext(ctx, pull); !errors.Is(err, queue.ErrOutdated) || len(rows) > 0 {
		t.Errorf("%d rows, %v, want ErrOutdated", len(rows), err)
	}
	if row, err := s.Get(ctx, ids[2]); err != nil || row.Status != queue.StatusReady || row.Attempts != 0 {
		t.Errorf("%+v, %v", row, err)
	}

	// What it runs ends, and what it has lost is claimed by others.
	if renewed, _, err := s.Heartbeat(ctx, time.Hour, running.Claim()); err != nil || len(renewed) != 1 {
		t.Errorf("%d renewed, %v", len(renewed), err)
	}
	if _, err := s.Finish(ctx, running.Claim(), queue.Finish{Status: queue.StatusSuccessful}); err != nil {
		t.Error(err)
	}
	if _, err := claim(expired.ID, queue.NewClaimID(), time.Hour); err != nil {
		t.Error(err)
	}
	if rows, err := s.ClaimNext(ctx, queue.ClaimNextRequest{Tasks: []string{"t"}, Limit: 2, Worker: "new", Lease: time.Hour}); err != nil || len(rows) != 2 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	if _, _, err := s.ResumeQueue(ctx, "another"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Unpark(ctx, "another", 100); err != nil {
		t.Fatal(err)
	}
	if rows, err := s.ClaimNext(ctx, pull); err != nil || len(rows) != 1 {
		t.Errorf("after the last gate: %d rows, %v", len(rows), err)
	}
}
