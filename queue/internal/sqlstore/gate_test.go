package sqlstore_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// A process may be stopped between any two statements of a claim's transaction, for as
// long as it likes: a claim that continues after the pause has returned must not be made.
func TestNothingIsClaimedAfterAPauseHasReturned(t *testing.T) {
	url := testdb.MariaDB(t)
	s, wire := recording(t, url)
	other := migrated(t, url, config{})
	next := queue.ClaimNextRequest{Tasks: []string{"t"}, Worker: "w", Lease: time.Minute, Limit: 10}
	pull := func(uuid.UUID) error {
		rows, err := s.ClaimNext(t.Context(), next)
		if len(rows) > 0 {
			t.Errorf("%d tasks were claimed", len(rows))
		}
		return err
	}
	deliver := func(id uuid.UUID) error {
		_, err := s.Claim(t.Context(), id, claimRequest())
		if !errors.Is(err, queue.ErrPaused) {
			t.Errorf("Claim: %v", err)
		}
		return nil
	}
	limited := func(claim func(uuid.UUID) error) func(uuid.UUID) error {
		return func(id uuid.UUID) error {
			n := 5
			if _, err := other.SetLimit(t.Context(), queue.LimitChange{Kind: queue.LimitName, Name: "t", Running: &n}); err != nil {
				return err
			}
			return claim(id)
		}
	}
	for _, c := range []struct {
		name  string
		tasks int
		claim func(uuid.UUID) error
	}{
		{"a pull of one", 1, pull},
		{"a pull of several", 3, pull},
		{"a delivery", 1, deliver},
		{"a delivery with a limit", 1, limited(deliver)},
		{"a pull with a limit", 2, limited(func(uuid.UUID) error {
			rows, _, err := s.ClaimLimited(t.Context(), next)
			if len(rows) > 0 {
				t.Errorf("%d tasks were claimed", len(rows))
			}
			return err
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			var tasks []*queue.NewRow
			for range c.tasks {
				row := task(0)
				row.Queue, row.Backend = "q", "b"
				tasks = append(tasks, row)
			}
			if err := s.Insert(t.Context(), tasks...); err != nil {
				t.Fatal(err)
			}
			wire.pauseBefore(t, other, "claim_id = ")
			if err := c.claim(tasks[0].ID); err != nil {
				t.Error(err)
			}
			for _, row := range tasks {
				now, err := s.Get(t.Context(), row.ID)
				if err != nil || now.Status != queue.StatusReady || now.Attempts != 0 {
					t.Errorf("%+v, %v", now, err)
				}
				if _, _, err := other.Cancel(t.Context(), row.ID); err != nil {
					t.Error(err)
				}
			}
			if _, paused, err := other.ResumeQueue(t.Context(), "q"); err != nil || !paused {
				t.Errorf("it was paused: %v, %v", paused, err)
			}
		})
	}
}

// pauseBefore pauses the queue of all tasks before the next change of tasks with a text is sent.
func (w *wire) pauseBefore(t *testing.T, s store, text string) {
	var once sync.Once
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before = func(statement string) {
		if !strings.HasPrefix(statement, "UPDATE claimcheck_tasks") || !strings.Contains(statement, text) {
			return
		}
		once.Do(func() {
			if _, _, err := s.PauseQueue(t.Context(), "q", "t", ""); err != nil {
				t.Errorf("PauseQueue: %v", err)
			}
		})
	}
}

// A claim reads the gates without waiting for a transaction that has locked one.
func TestAClaimDoesNotWaitForAGate(t *testing.T) {
	url := testdb.MariaDB(t)
	s := migrated(t, url, config{})
	if _, _, err := s.PauseQueue(t.Context(), "paused", "t", ""); err != nil {
		t.Fatal(err)
	}
	tx, err := raw(t, url).BeginTx(t.Context(), nil) // rolled back with its context
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "UPDATE claimcheck_gates SET pause_reason = 'x' WHERE name = 'paused'"); err != nil {
		t.Fatal(err)
	}
	rows := []*queue.NewRow{task(0), task(0), task(0)}
	if err := s.Insert(t.Context(), rows...); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Claim(t.Context(), rows[0].ID, claimRequest()); err != nil {
		t.Errorf("Claim: %v", err)
	}
	claimed, err := s.ClaimNext(t.Context(), queue.ClaimNextRequest{Tasks: []string{"t"}, Worker: "w", Lease: time.Minute, Limit: 10})
	if err != nil || len(claimed) != 2 {
		t.Errorf("ClaimNext: %d rows, %v", len(claimed), err)
	}
}
