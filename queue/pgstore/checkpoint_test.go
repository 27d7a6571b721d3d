package pgstore

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// A claim of a first attempt does not wait for the disk; what its task has done by a
// checkpoint must survive a crash nevertheless.
func TestCheckpointsAndContinuationsWaitForTheDisk(t *testing.T) {
	server := testdb.StartPostgres(t, logOptions...)
	server.HoldLog(t)
	for how, config := range connections {
		d := newDurability(t, server, config)
		for what, write := range map[string]func(queue.Claim) error{
			"SaveCheckpoint": func(c queue.Claim) error {
				return d.store.SaveCheckpoint(t.Context(), c, json.RawMessage(`1`), 2)
			},
			"Retry": func(c queue.Claim) error {
				return d.store.Retry(t.Context(), c, queue.Retry{Checkpoint: json.RawMessage(`1`), MoreAttempts: 2})
			},
		} {
			row, err := d.store.claimOne(t.Context(), deliveryOf(d.insert(3)))
			if err != nil {
				t.Fatal(err)
			}
			if config.URL == "" && d.written() {
				t.Errorf("%s, %s: the claim has waited for the disk", how, what)
			}
			if err := write(row.Claim()); err != nil {
				t.Fatal(err)
			}
			if !d.written() {
				t.Errorf("%s, %s: it does not wait for the disk", how, what)
			}
		}
	}
}

func TestACrashKeepsCheckpoints(t *testing.T) {
	server := testdb.StartPostgres(t, logOptions...)
	server.HoldLog(t)
	d := newDurability(t, server, Config{})
	row, err := d.store.claimOne(t.Context(), deliveryOf(d.insert(3)))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.store.SaveCheckpoint(t.Context(), row.Claim(), json.RawMessage(`{"a":1}`), 3); err != nil {
		t.Fatal(err)
	}
	server.LoseLog(t)
	d.store.pool.Reset() // its connections are broken
	got, err := d.store.Get(t.Context(), row.ID)
	if err != nil || got.Status != queue.StatusRunning || got.ClaimID != row.ClaimID || string(got.Checkpoint) != `{"a":1}` || got.MaxAttempts != 4 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := d.store.Checkpoint(t.Context(), queue.Claim{ID: row.ID, ClaimID: queue.NewClaimID()}); !errors.Is(err, queue.ErrLeaseLost) {
		t.Errorf("under another claim: %v", err)
	}
}
