package pgstore_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// A new row whose batched INSERT took effect, and whose answer was lost, is inserted
// again. It still counts as new; a row that existed before does not.
func TestARowOfABatchedInsertWhoseAnswerWasLostIsNew(t *testing.T) {
	s, w, _, _ := connected(t, time.Hour, time.Second, true)
	fresh := func() *queue.NewRow {
		return &queue.NewRow{FreshID: true, Row: &queue.Row{ID: uuid.Must(uuid.NewV7()), Task: "t", Queue: "q", Backend: "b", Args: json.RawMessage(`1`), MaxAttempts: 3}}
	}
	if err := s.Insert(t.Context(), fresh()); err != nil { // so that the statement is prepared
		t.Fatal(err)
	}
	row := fresh()
	began := time.Now()
	w.next.Store(true)
	if err := s.Insert(t.Context(), row); err != nil {
		t.Error(err)
	}
	_ = (<-w.died).Close() // Close of the store would wait for it
	if row.Existed {
		t.Error("the row was stored by this call, and existed")
	}
	now, err := s.Get(t.Context(), row.ID)
	if err != nil || now.Status != queue.StatusReady {
		t.Fatalf("%+v, %v", now, err)
	}
	if waited := now.EnqueuedAt.Sub(began); waited > 900*time.Millisecond {
		t.Errorf("stored %s later: by the second statement", waited)
	}
	again := *row
	again.FreshID = false
	if err := s.Insert(t.Context(), &again); err != nil || !again.Existed {
		t.Errorf("a row that existed before: existed %t, %v", again.Existed, err)
	}
}
