package queue_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

func TestDeleteRemovesOneTaskAndRecordsIt(t *testing.T) {
	sys := newSystem(t, setup{}, queue.NewTask("t", echo))
	waiting, done, running := sys.enqueue("t", "x"), sys.enqueue("t", "x"), sys.enqueue("t", "x")
	sys.run(done)
	if _, err := sys.store.Claim(t.Context(), running, queue.ClaimRequest{Tasks: []string{"t"}, Worker: "w", Lease: time.Minute, ClaimID: uuid.New()}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []uuid.UUID{waiting, done} {
		if _, deleted, err := sys.client.Delete(t.Context(), id, "ann"); !deleted || err != nil || !sys.gone(id) {
			t.Errorf("deleted %v, %v", deleted, err)
		}
		entries, err := sys.operator().AuditLog(t.Context(), id, time.Now().Add(time.Hour), 10)
		if err != nil || len(entries) != 1 || entries[0].Actor != "ann" || entries[0].Action != "delete" || entries[0].Done != 1 || !entries[0].Ended {
			t.Errorf("audit: %+v, %v", entries, err)
		}
		if _, _, err := sys.client.Delete(t.Context(), id, "ann"); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("again: %v", err)
		}
	}
	if row, deleted, err := sys.client.Delete(t.Context(), running, "ann"); deleted || err != nil || row.Status != queue.StatusRunning || sys.gone(running) {
		t.Errorf("a RUNNING task: deleted %v, %v", deleted, err)
	}
}
