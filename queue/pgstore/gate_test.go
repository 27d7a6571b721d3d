package pgstore

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
)

// manyOfAPausedQueue are 20,000 rows of a queue that all claims would find first.
const manyOfAPausedQueue = `
INSERT INTO claimcheck_tasks (id, task_path, queue_name, backend_name, priority, status, hold, args, dispatch_due_at, enqueued_at, attempts, max_attempts)
SELECT gen_random_uuid(), 't', 'paused', 'b', 10, 'READY', 0, '1'::json, now(), now() - interval '1 hour', 0, 3 FROM generate_series(1, 20000) AS n
UNION ALL SELECT gen_random_uuid(), 't', 'q', 'b', 0, 'READY', 0, '1'::json, now(), now(), 0, 3 FROM generate_series(1, 100) AS n`

// The rows of a paused queue are in the way of a claim until they are parked, and then
// no more.
func TestParkedRowsCostAClaimNothing(t *testing.T) {
	conn := planned(t, manyOfAPausedQueue)
	s, err := Open(t.Context(), Config{URL: conn.Config().ConnString()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if _, _, err := s.PauseQueue(t.Context(), "paused", "ops", ""); err != nil {
		t.Fatal(err)
	}
	waiting := pagesOfAClaim(t, conn)
	parked := 0
	for n := 500; n == 500; parked += n {
		if n, err = s.Park(t.Context(), "paused", 500); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(t.Context(), `VACUUM claimcheck_tasks`); err != nil { // as autovacuum does
		t.Fatal(err)
	}
	after := pagesOfAClaim(t, conn)
	t.Logf("a claim reads %d pages before %d rows are parked, %d afterwards", waiting, parked, after)
	if parked != 20_000 || waiting < 20_000 || after > 300 {
		t.Errorf("a claim reads %d pages before %d rows are parked, %d afterwards", waiting, parked, after)
	}
	rows, err := s.ClaimNext(t.Context(), queue.ClaimNextRequest{Tasks: []string{"t"}, Limit: 10, Worker: "w", Lease: time.Minute})
	if err != nil || len(rows) != 10 || rows[0].Queue != "q" {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

// pagesOfAClaim is how many pages a claim of ten rows reads. It is rolled back.
func pagesOfAClaim(t *testing.T, conn *pgx.Conn) (pages int) {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	result, err := tx.Query(t.Context(), `EXPLAIN (ANALYZE, BUFFERS) `+plainClaims.next.free, "w", time.Minute, []string{"t"}, []string{}, "", 10, queue.NewClaimID().String()[:fencePrefix], queue.MaxClaimBytes)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(result, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if found := regexp.MustCompile(`Buffers: shared hit=(\d+)(?: read=(\d+))?`).FindStringSubmatch(line); found != nil { // the first is the whole statement's
			for _, n := range found[1:] {
				count, _ := strconv.Atoi(n)
				pages += count
			}
			return pages
		}
	}
	t.Fatal(fmt.Sprint(lines))
	return 0
}
