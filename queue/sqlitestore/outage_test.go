package sqlitestore_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// A file that takes no writes for a while, as on a full or read-only disk, is
// unavailable and nothing more: its rows can be read, a refused call leaves no
// transaction behind, and the same call succeeds afterwards.
func TestAFileThatTakesNoWritesIsUnavailableAndRecovers(t *testing.T) {
	for name, fault := range map[string]struct{ begin, end string }{
		"full":      {"PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1000000"},
		"read-only": {"PRAGMA query_only = on", "PRAGMA query_only = off"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tasks.db")
			s := migrated(t, "sqlite:"+path, sqlitestore.Config{})
			pragma := func(statement string) {
				t.Helper()
				if _, err := s.DB().ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			stored, late := task(0), task(0)
			if err := s.Insert(t.Context(), stored); err != nil {
				t.Fatal(err)
			}
			late.Args = json.RawMessage(`"` + strings.Repeat("x", 100_000) + `"`) // more than the free pages hold

			pragma(fault.begin)
			for range 3 {
				if err := s.Insert(t.Context(), late); !errors.Is(err, queue.ErrUnavailable) || !strings.Contains(err.Error(), path) {
					t.Errorf("Insert: %v", err)
				}
			}
			if _, err := s.Get(t.Context(), stored.ID); err != nil {
				t.Errorf("Get: %v", err)
			}
			if _, err := s.Get(t.Context(), late.ID); !errors.Is(err, queue.ErrNotFound) {
				t.Errorf("what was refused is there: %v", err)
			}

			pragma(fault.end)
			if err := s.Insert(t.Context(), late); err != nil || late.Existed {
				t.Errorf("Insert afterwards: %v, existed %v", err, late.Existed)
			}
			for _, id := range []uuid.UUID{stored.ID, late.ID} {
				req := queue.ClaimRequest{Tasks: []string{"t"}, Worker: "w", Lease: time.Minute, ClaimID: uuid.New()}
				if _, err := s.Claim(t.Context(), id, req); err != nil {
					t.Errorf("Claim afterwards: %v", err)
				}
			}
		})
	}
}
