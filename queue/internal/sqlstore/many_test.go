package sqlstore_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// insertMany stores n rows for task name with arguments of some bytes.
func insertMany(t *testing.T, s store, name string, n, size int) []uuid.UUID {
	t.Helper()
	rows, ids := make([]*queue.NewRow, n), make([]uuid.UUID, n)
	for i := range rows {
		rows[i] = task(0)
		rows[i].Task, rows[i].Queue, rows[i].Backend = name, "q", "b"
		rows[i].Args = json.RawMessage(`"` + strings.Repeat("x", size) + `"`)
		ids[i] = rows[i].ID
	}
	if err := s.Insert(t.Context(), rows...); err != nil {
		t.Fatal(err)
	}
	return ids
}

// dueForPromotion stores n rows of each kind that a Promote changes.
func dueForPromotion(t *testing.T, s store, n, size int) (held, expired, lost []uuid.UUID) {
	t.Helper()
	held, expired, lost = insertMany(t, s, "held", n, size), insertMany(t, s, "expired", n, size), insertMany(t, s, "lost", n, size)
	for _, change := range []string{
		"hold = 1, run_after = 1 WHERE task_path = 'held'",
		"status = 'RUNNING', attempts = 1, lease_expires_at = 1 WHERE task_path = 'expired'",
		"status = 'RUNNING', attempts = 3, lease_expires_at = 1 WHERE task_path = 'lost'",
	} {
		if _, err := s.DB().ExecContext(t.Context(), "UPDATE claimcheck_tasks SET "+change); err != nil {
			t.Fatal(err)
		}
	}
	return held, expired, lost
}

func TestAPromotionOfManyTakesFewRoundTrips(t *testing.T) {
	const n = 1000
	s, wire := recording(t, testdb.MariaDB(t))
	held, expired, lost := dueForPromotion(t, s, n, 0)
	var p queue.PromoteResult
	var err error
	statements := wire.during(func() { p, err = s.Promote(t.Context(), n) })
	if want := (queue.PromoteResult{Released: n, Reclaimed: n, Failed: n, Claimable: true}); err != nil || p != want {
		t.Fatalf("Promote: %+v, %v", p, err)
	}
	atMost(t, statements, 140)
	for _, ids := range [][]uuid.UUID{held, expired} {
		for _, id := range ids[n-3:] {
			if row, err := s.Get(t.Context(), id); err != nil || row.Status != queue.StatusReady || !row.LeaseExpiresAt.IsZero() {
				t.Errorf("%+v, %v", row, err)
			}
		}
	}
	for _, id := range lost[n-3:] {
		if row, err := s.Get(t.Context(), id); err != nil || row.Status != queue.StatusFailed || len(row.Errors) != 1 || row.ErrorGroup == "" {
			t.Errorf("%+v, %v", row, err)
		}
	}
}

// TestAPromotionKeepsWhatItHasDone has the caller's time end in the middle.
func TestAPromotionKeepsWhatItHasDone(t *testing.T) {
	s, wire := recording(t, testdb.MariaDB(t))
	dueForPromotion(t, s, 300, 0)
	for _, begun := range []int{3, 6, 3} {
		ctx, cancel := context.WithCancel(t.Context())
		wire.mu.Lock()
		left := begun
		wire.before = func(statement string) {
			if statement == "START TRANSACTION" {
				if left--; left == 0 {
					cancel()
				}
			}
		}
		wire.mu.Unlock()
		before, err := s.Stats(t.Context(), queue.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.Promote(ctx, 1000)
		cancel()
		if err == nil || p.Failed+p.Reclaimed+p.Released == 0 {
			t.Errorf("Promote cut off in its transaction %d: %+v, %v", begun, p, err)
		}
		after, err := s.Stats(t.Context(), queue.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		if after.Failed-before.Failed != p.Failed {
			t.Errorf("%d rows are FAILED that were not, and Promote says %d", after.Failed-before.Failed, p.Failed)
		}
	}
}

// TestAPromotionReadsNoArguments has 16 rows of 1 MiB of each kind.
func TestAPromotionReadsNoArguments(t *testing.T) {
	s := migrated(t, "sqlite:"+filepath.Join(t.TempDir(), "tasks.db"), config{})
	const n = 16
	dueForPromotion(t, s, n, 1<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p, err := s.Promote(t.Context(), 1000)
	runtime.ReadMemStats(&after)
	if err != nil || p.Released != n || p.Reclaimed != n || p.Failed != n {
		t.Fatalf("Promote: %+v, %v", p, err)
	}
	if allocated := (after.TotalAlloc - before.TotalAlloc) >> 20; allocated > 4 {
		t.Errorf("%d MiB were allocated", allocated)
	}
}

// TestALongHistoryOfFailuresIsContinued fails rows whose errors do not fit into
// one statement together.
func TestALongHistoryOfFailuresIsContinued(t *testing.T) {
	for name, url := range map[string]string{"SQLite": "sqlite::memory:", "MySQL": testdb.MariaDB(t)} {
		t.Run(name, func(t *testing.T) {
			s := migrated(t, url, config{})
			ids := make([]uuid.UUID, 12)
			for i := range ids {
				row := claimOne(t, s)
				ids[i] = row.ID
				history := []queue.AttemptError{{Message: row.ID.String(), Traceback: strings.Repeat("x", 100<<10), Attempt: 1, At: time.Unix(int64(i), 0).UTC()}}
				if err := s.Retry(t.Context(), row.Claim(), queue.Retry{Errors: history}); err != nil {
					t.Fatal(err)
				}
				if _, err := s.Claim(t.Context(), row.ID, claimRequest()); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.DB().ExecContext(t.Context(), "UPDATE claimcheck_tasks SET max_attempts = 2, lease_expires_at = 1"); err != nil {
				t.Fatal(err)
			}
			p, err := s.Promote(t.Context(), 1000)
			if err != nil || p != (queue.PromoteResult{Failed: len(ids)}) {
				t.Fatalf("Promote: %+v, %v", p, err)
			}
			for _, id := range ids {
				row, err := s.Get(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				if row.Status != queue.StatusFailed || len(row.Errors) != 2 || row.Errors[0].Message != id.String() ||
					row.Errors[1].ExceptionClassPath != "WorkerLost" || row.ErrorText == "" || string(row.Args) != "1" {
					t.Errorf("%s: %s with %d errors, %q", id, row.Status, len(row.Errors), row.ErrorText)
				}
			}
		})
	}
}

func TestADispatchThatFailedIsNotedOnManyRowsAtOnce(t *testing.T) {
	s, wire := recording(t, testdb.MariaDB(t))
	ids := insertMany(t, s, "t", 1200, 0)
	ended, err := s.Claim(t.Context(), ids[0], claimRequest())
	if err != nil {
		t.Fatal(err)
	}
	atMost(t, wire.during(func() { err = s.DispatchFailed(t.Context(), "no", false, ids...) }), 9)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range []uuid.UUID{ended.ID, ids[1], ids[600], ids[1199]} {
		row, err := s.Get(t.Context(), id)
		if err != nil || (row.DispatchError == "no") != (i > 0) {
			t.Errorf("%+v, %v", row, err)
		}
	}
	if err := s.DispatchFailed(t.Context(), "no", false); err != nil {
		t.Errorf("of no rows: %v", err)
	}
}

func TestTheSweepTakesFewRoundTrips(t *testing.T) {
	s, wire := recording(t, testdb.MariaDB(t))
	for _, name := range []string{"a", "b", "c"} {
		insertMany(t, s, name, 100, 0)
	}
	if _, err := s.DB().ExecContext(t.Context(), "UPDATE claimcheck_tasks SET queue_name = task_path"); err != nil {
		t.Fatal(err)
	}
	var queues []queue.StrandedQueue
	var err error
	atMost(t, wire.during(func() { queues, err = s.StrandedQueues(t.Context(), "b") }), 5) // the time, each queue, the end
	if err != nil || len(queues) != 3 {
		t.Fatalf("StrandedQueues: %v, %v", queues, err)
	}
	var rows []*queue.Row
	atMost(t, wire.during(func() { rows, err = s.TakeStranded(t.Context(), queues[1], 100) }), 5)
	if err != nil || len(rows) != 100 {
		t.Fatalf("TakeStranded: %d rows, %v", len(rows), err)
	}
	for _, row := range rows[98:] {
		stored, err := s.Get(t.Context(), row.ID)
		if err != nil {
			t.Fatal(err)
		}
		stored.Args = nil // rows come without what may be long
		if diff := cmp.Diff(stored, row, cmpopts.EquateEmpty()); diff != "" || row.DispatchTries != 1 {
			t.Errorf("stored and returned (-+):\n%s", diff)
		}
	}
}

func TestAHeartbeatOfManyTakesFewRoundTrips(t *testing.T) {
	s, wire := recording(t, testdb.MariaDB(t))
	ids := insertMany(t, s, "t", 600, 0)
	rows, err := s.ClaimNext(t.Context(), queue.ClaimNextRequest{Tasks: []string{"t"}, Limit: len(ids), Worker: "w", Lease: time.Minute})
	if err != nil || len(rows) != len(ids) {
		t.Fatalf("ClaimNext: %d rows, %v", len(rows), err)
	}
	claims := make([]queue.Claim, len(rows))
	for i, row := range rows {
		claims[i] = row.Claim()
	}
	claims[7].ClaimID, claims[9].ID = claims[8].ClaimID, claims[8].ID // neither is a claim that was made
	var renewed, lost []queue.Claim
	atMost(t, wire.during(func() { renewed, lost, err = s.Heartbeat(t.Context(), time.Hour, claims...) }), 8)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lost, []queue.Claim{claims[7], claims[9]}); diff != "" {
		t.Errorf("lost and expected (-+):\n%s", diff)
	}
	if want := slices.Concat(claims[:7], claims[8:9], claims[10:]); !slices.Equal(renewed, want) {
		t.Errorf("%d renewed, not the %d expected, or in another order", len(renewed), len(want))
	}
	for i, hour := range map[int]bool{0: true, 7: false, 8: true, 9: false, 599: true} {
		row, err := s.Get(t.Context(), rows[i].ID)
		if err != nil || row.LeaseExpiresAt.After(rows[i].LeaseExpiresAt.Add(30*time.Minute)) != hour {
			t.Errorf("claim %d: its lease ends at %s, %v", i, row.LeaseExpiresAt, err)
		}
	}
}
