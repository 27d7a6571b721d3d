package pgstore

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// someFence is a fence as claims have them.
const someFence = "00000000-0000-4000-"

// backlogOf returns a Store whose table has n rows of the name known, the first of
// them the oldest.
func backlogOf(t *testing.T, n int) (*Store, string) {
	t.Helper()
	url := testdb.Postgres(t)
	s, err := Open(t.Context(), Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	addRows(t, url, "known", 0, n, 0)
	return s, url
}

// addRows adds rows that are due, the first so many seconds after a certain time.
func addRows(t *testing.T, url, name string, priority, n, after int) {
	t.Helper()
	testdb.Exec(t, url, fmt.Sprintf(`
INSERT INTO claimcheck_tasks (id, task_path, queue_name, backend_name, priority, status, hold, args, dispatch_due_at, enqueued_at, max_attempts)
SELECT gen_random_uuid(), '%s', 'q', 'b', %d, 'READY', 0, '1', now(), timestamptz '2026-01-02 00:00Z' + (%d + n) * interval '1 second', 3 FROM generate_series(0, %d) AS n`,
		name, priority, after, n-1))
}

// claimSeconds claims rows and says when they were enqueued, in seconds after
// that time, and with which priority.
func claimSeconds(t *testing.T, s *Store, limit int) (got []string) {
	t.Helper()
	rows, err := s.ClaimNext(t.Context(), queue.ClaimNextRequest{Tasks: []string{"known"}, Limit: limit, Worker: "w", Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		got = append(got, fmt.Sprintf("%d/%d", row.Priority, int(row.EnqueuedAt.Sub(time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)).Seconds())))
	}
	return got
}

func expectSeconds(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("claimed %v, want %v", got, want)
	}
}

// hinted returns a Store that has claimed the first rows of its backlog, and will
// start after them for as long as the test runs.
func hinted(t *testing.T) (*Store, string) {
	t.Helper()
	s, url := backlogOf(t, 20)
	for i := range longBacklog + 1 {
		expectSeconds(t, claimSeconds(t, s, 1), "0/"+strconv.Itoa(i))
	}
	for _, hint := range s.hints.all {
		if hint.until.IsZero() {
			t.Fatal("there is no hint")
		}
		hint.until = time.Now().Add(time.Hour)
		hint.slow, hint.aboveFrom = false, time.Time{} // on a busy machine even this scan may count as slow
	}
	return s, url
}

func TestClaimsOfALongBacklogStartAtTheHint(t *testing.T) {
	s, url := hinted(t)
	addRows(t, url, "known", 0, 2, -10) // before all others
	expectSeconds(t, claimSeconds(t, s, 2), "0/9", "0/10")
	t.Run("higher priority still comes first", func(t *testing.T) {
		addRows(t, url, "known", 5, 2, 100)
		expectSeconds(t, claimSeconds(t, s, 1), "5/100")
		expectSeconds(t, claimSeconds(t, s, 2), "5/101", "0/11")
	})
	t.Run("lower priority comes last", func(t *testing.T) {
		addRows(t, url, "known", -5, 2, 0)
		expectSeconds(t, claimSeconds(t, s, 9), "0/12", "0/13", "0/14", "0/15", "0/16", "0/17", "0/18", "0/19", "-5/0")
	})
	t.Run("the end of the backlog leads back to the beginning", func(t *testing.T) {
		expectSeconds(t, claimSeconds(t, s, 3), "-5/1", "0/-10", "0/-9")
	})
}

// A claim that ends early because of its arguments looks for more rows from the
// beginning, and those have to fit into what is left.
func TestTheLimitForArgumentsHoldsForBothStatementsOfAClaim(t *testing.T) {
	s, url := hinted(t)
	testdb.Exec(t, url, fmt.Sprintf(`UPDATE claimcheck_tasks SET args = to_json(repeat('x', %d)) WHERE status = 'READY'`, queue.MaxClaimBytes/4-1000))
	expectSeconds(t, claimSeconds(t, s, 11), "0/9", "0/10", "0/11", "0/12")
	expectSeconds(t, claimSeconds(t, s, 11), "0/13", "0/14", "0/15", "0/16")
	testdb.Exec(t, url, fmt.Sprintf(`UPDATE claimcheck_tasks SET args = to_json(repeat('x', %d)) WHERE status = 'READY'`, queue.MaxClaimBytes))
	expectSeconds(t, claimSeconds(t, s, 11), "0/17")
}

func TestAHintIsDropped(t *testing.T) {
	for name, happens := range map[string]func(ctx context.Context, s *Store) error{
		"after a while": func(_ context.Context, s *Store) error { s.hints.all[0].until = time.Now(); return nil },
		"when tasks are retried": func(ctx context.Context, s *Store) error {
			_, err := s.Act(ctx, queue.ActionRetry, queue.Selection{IDs: []uuid.UUID{uuid.New()}}, time.Time{}, 10)
			return err
		},
		"when claims are requeued": func(ctx context.Context, s *Store) error {
			_, err := s.Requeue(ctx, queue.RequeueRequest{Limit: 1})
			return err
		},
		"when a claim is released": func(ctx context.Context, s *Store) error {
			_ = s.Release(ctx, queue.Claim{ID: uuid.New(), ClaimID: uuid.New()})
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, url := hinted(t)
			addRows(t, url, "known", 0, 1, -10)
			if err := happens(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			expectSeconds(t, claimSeconds(t, s, 1), "0/-10")
		})
	}
}

func TestOtherRequestsHaveTheirOwnHints(t *testing.T) {
	s, url := hinted(t)
	addRows(t, url, "known", 0, 1, -10)
	rows, err := s.ClaimNext(t.Context(), queue.ClaimNextRequest{Tasks: []string{"known"}, Queues: []string{"q"}, Limit: 1, Worker: "w", Lease: time.Minute})
	if err != nil || len(rows) != 1 || rows[0].EnqueuedAt.Year() != 2026 || rows[0].EnqueuedAt.Month() != time.January || rows[0].EnqueuedAt.Day() != 1 {
		t.Errorf("%v, %v", rows, err)
	}
	for i := range 2 * hintLimit {
		if _, err := s.ClaimNext(t.Context(), queue.ClaimNextRequest{Tasks: []string{strconv.Itoa(i)}, Limit: 1, Worker: "w", Lease: time.Minute}); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.hints.all) > hintLimit {
		t.Errorf("%d hints are kept", len(s.hints.all))
	}
}

// Rows that this process does not know cost one slow scan, and not one in each claim.
func TestASlowScanIsNotRepeated(t *testing.T) {
	var h scanHints
	req := queue.ClaimNextRequest{Tasks: []string{"known"}, Limit: 1}
	rows := []*queue.Row{{ID: uuid.New(), Priority: 3, EnqueuedAt: time.Now()}}
	now := time.Now()
	h.scanned(req, rows, slowScan/2, now)
	if _, known := h.start(req, now); known {
		t.Error("a quick scan yields a hint at once")
	}
	h.scanned(req, rows, 2*slowScan, now)
	from, known := h.start(req, now.Add(39*slowScan))
	if !known || from.above || from.id != rows[0].ID || from.priority != 3 {
		t.Errorf("%+v, %t", from, known)
	}
	h.forget()
	if _, known := h.start(req, now.Add(39*slowScan)); !known {
		t.Error("the hint of a slow scan is dropped")
	}
	if _, known := h.start(req, now.Add(41*slowScan)); known {
		t.Error("the hint is valid for too long")
	}
	h.scanned(req, nil, 2*slowScan, now)
	if _, known := h.start(req, now); known {
		t.Error("the end of the backlog is a position")
	}
}

// A wait for a connection must not make claims skip rows of higher priority.
func TestAWaitForAConnectionIsNoSlowScan(t *testing.T) {
	_, url := backlogOf(t, 2)
	s, err := Open(t.Context(), Config{URL: url, MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	claimSeconds(t, s, 1) // once, so that the statement is prepared
	s.hints.all = nil
	conn, err := s.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Release()
	var released time.Time
	s.observe = func(context.Context, string) func(error) {
		time.AfterFunc(4*slowScan, func() {
			released = time.Now()
			conn.Release()
		})
		return func(error) {}
	}
	claimSeconds(t, s, 1)
	ended := time.Now()
	// However slow the machine is, the scan took no longer than this.
	if until := ended.Add(max(hintTime, hintFactor*ended.Sub(released))); s.hints.all[0].until.After(until) {
		t.Errorf("valid until %s after the claim, which took at most %s with its connection", s.hints.all[0].until.Sub(ended), ended.Sub(released))
	}
}

// A claim that starts at a hint reads nothing before it.
func TestClaimsFromAHintReadOnlyWhatFollows(t *testing.T) {
	s, url := backlogOf(t, 1000)
	addRows(t, url, "unknown", 5, 20000, 0)
	testdb.Exec(t, url, `VACUUM ANALYZE claimcheck_tasks`)
	var id uuid.UUID
	var at time.Time
	err := s.on(t.Context(), "look", func(conn *pgx.Conn) error {
		return conn.QueryRow(t.Context(), `SELECT id, enqueued_at FROM claimcheck_tasks WHERE task_path = 'known' ORDER BY enqueued_at LIMIT 1`).Scan((*[16]byte)(&id), &at)
	})
	if err != nil {
		t.Fatal(err)
	}
	args := []any{"w", time.Minute, []string{"known"}, []string{}, "", 10, someFence}
	whole := pagesOf(t, s, plainClaims.next.free, append(slices.Clone(args), queue.MaxClaimBytes)...)
	from := pagesOf(t, s, plainClaims.from.free, append(args, 0, timeValue(at), uuidValue(id), false, queue.MaxClaimBytes)...)
	if whole < 200 || from > whole/2 {
		t.Errorf("%d pages from the hint, %d from the beginning", from, whole)
	}
}

// pagesOf returns how many pages a statement reads; what it changes is undone.
func pagesOf(t *testing.T, s *Store, query string, args ...any) (pages int) {
	t.Helper()
	err := s.on(t.Context(), "explain", func(conn *pgx.Conn) error {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(t.Context()) }()
		rows, err := tx.Query(t.Context(), `EXPLAIN (ANALYZE, BUFFERS) `+query, args...)
		if err != nil {
			return err
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, line := range lines {
			if found := regexp.MustCompile(`Buffers: shared hit=(\d+)`).FindStringSubmatch(line); found != nil {
				pages, err = strconv.Atoi(found[1])
				return err // the first line is the whole statement's
			}
		}
		return fmt.Errorf("no buffers in %q", lines)
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}
