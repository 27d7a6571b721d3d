package sqlstore_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// TestAFinishIsRepeatedOnlyInTheSameStatus ends a task, and ends it again in
// every way under the same claim.
func TestAFinishIsRepeatedOnlyInTheSameStatus(t *testing.T) {
	for name, url := range map[string]string{"SQLite": "sqlite::memory:", "MySQL": testdb.MariaDB(t)} {
		t.Run(name, func(t *testing.T) {
			s := migrated(t, url, config{})
			statuses := []queue.Status{queue.StatusSuccessful, queue.StatusFailed, queue.StatusCancelled}
			for _, first := range statuses {
				claimed := claimOne(t, s)
				tx, err := s.DB().BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				at, err := s.FinishTx(t.Context(), s.tx(tx), claimed.Claim(), queue.Finish{Status: first})
				if err != nil {
					t.Fatal(err)
				}
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
				before, err := s.Get(t.Context(), claimed.ID)
				if err != nil {
					t.Fatal(err)
				}
				for _, second := range statuses {
					again, err := s.Finish(t.Context(), claimed.Claim(), queue.Finish{Status: second})
					switch {
					case first == second && (err != nil || !again.Equal(at)):
						t.Errorf("%s at %s and again: %s, %v", first, at, again, err)
					case first != second && !errors.Is(err, queue.ErrLeaseLost):
						t.Errorf("%s and then %s: %v", first, second, err)
					}
				}
				if after, err := s.Get(t.Context(), claimed.ID); err != nil {
					t.Error(err)
				} else if diff := cmp.Diff(after, before); diff != "" {
					t.Errorf("after and before (-+):\n%s", diff)
				}
			}
		})
	}
}

// claimOne inserts a row and claims it.
func claimOne(t *testing.T, s store) *queue.Row {
	t.Helper()
	row := task(0)
	if err := s.Insert(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	claimed, err := s.Claim(t.Context(), row.ID, claimRequest())
	if err != nil {
		t.Fatal(err)
	}
	return claimed
}
