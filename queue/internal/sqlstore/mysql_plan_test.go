package sqlstore

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// TestEveryMySQLStatementUsesItsIndex uses a table of 50,000 rows: most
// of them finished, a backlog that waits, and some that run.
func TestEveryMySQLStatementUsesItsIndex(t *testing.T) {
	s := onMariaDB(t)
	fill(t, s, 50_000)

	state := make([]any, strings.Count(saveQuery, "?"))
	for i := range state {
		state[i] = "1"
	}
	claimAll, claimAllArgs := MySQL.wanted(columns, queue.ClaimNextRequest{Tasks: []string{"t"}}, gates{}, time.Now())
	claimSome, claimSomeArgs := MySQL.wanted(columns, queue.ClaimNextRequest{Tasks: []string{"t", "u"}, Queues: []string{"a", "b"}, Backend: "c"}, gates{paused: []string{"d"}}, time.Now())
	abandoned, abandonedArgs := abandonedRows(queue.RequeueRequest{}, time.Now(), 100)
	now := time.Now().UnixMicro()
	const forUpdate, skipLocked = " FOR UPDATE", " FOR UPDATE SKIP LOCKED"
	for name, c := range map[string]struct {
		query string
		args  []any
		index string
	}{
		"load":       {loadQuery + forUpdate, []any{uuid.New()}, ""}, // no row: decided before any index is chosen
		"save":       {saveQuery, state, "PRIMARY"},
		"finish":     {MySQL.finishQuery(false, ""), []any{"FAILED", nil, uuid.New(), uuid.New()}, "PRIMARY"},
		"holding":    {MySQL.holdingQuery(manyRows) + skipLocked, someIDs(2 * manyRows), "PRIMARY"},
		"renew":      {MySQL.updateQuery(setRenewed, manyRows), append([]any{now}, someIDs(manyRows)...), "PRIMARY"},
		"not sent":   {MySQL.readyQuery(manyRows) + skipLocked, someIDs(manyRows), "PRIMARY"},
		"next queue": {MySQL.nextQueue(), []any{"b", ""}, "PRIMARY claimcheck_tasks_outbox"},
		"stranded":   {MySQL.stranded() + skipLocked, []any{"b", "q", now, now, 100}, "claimcheck_tasks_outbox"},
		"take":       {MySQL.updateQuery(setTaken(1), 1), []any{"x", now, "x"}, "PRIMARY"},
		"claim all":  {claimAll + skipLocked, append(claimAllArgs, 10), "claimcheck_tasks_claim"},
		"claim some": {claimSome + skipLocked, append(claimSomeArgs, 10), "claimcheck_tasks_claim"},
		"claimed":    {MySQL.claimed(), []any{uuid.New(), uuid.New()}, "claimcheck_tasks_lease"},
		"to unclaim": {MySQL.heldQuery(manyRows) + forUpdate, someIDs(2 * manyRows), "PRIMARY"},
		"unclaim":    {MySQL.updateQuery(setUnclaimed(1), 1), []any{"x", "[]", now, now, "x"}, "PRIMARY"},
		"held":       {MySQL.heldDue() + skipLocked, []any{now, 100}, "claimcheck_tasks_held"},
		"expired":    {MySQL.leaseExpired() + skipLocked, []any{now, 100}, "claimcheck_tasks_lease"},
		"lost":       {MySQL.workerLost() + skipLocked, []any{now, 100}, "claimcheck_tasks_lease"},
		"release":    {MySQL.updateQuery(setReleased, manyRows), someIDs(manyRows), "PRIMARY"},
		"reclaim":    {MySQL.updateQuery(setReclaimed, manyRows), append([]any{now, now, now}, someIDs(manyRows)...), "PRIMARY"},
		"lose":       {MySQL.updateQuery(setLost(1), 1), []any{now, "x", "e", "x", "e", "x", "e", "x"}, "PRIMARY"},
		"requeue":    {`SELECT ` + columns + abandoned + skipLocked, abandonedArgs, "claimcheck_tasks_lease"},
		"holders":    {MySQL.holdersQuery(2), []any{"t", "a", "t", "b"}, "claimcheck_tasks_unique"},
		"live twins": {`SELECT count(*) FROM claimcheck_tasks WHERE task_path = 't' AND ` + MySQL.keyWillBeFree(time.Now()), nil, "claimcheck_tasks_unique"},
		"purge":      {firstFinishedQuery("") + skipLocked, []any{"FAILED", 1, now, now, now, 500}, "claimcheck_tasks_finished"},
		"purge end":  {MySQL.purgeEndQuery(), []any{"FAILED", 1, now, 20}, "claimcheck_tasks_finished"},
		"figures":    {MySQL.figureRowsQuery() + MySQL.lockSharedNow, []any{"SUCCESSFUL", "FAILED", "CANCELLED", 1, now}, "claimcheck_tasks_finished"},
		"tail":       {MySQL.figuresTailQuery(), []any{"FAILED", 1, now, 100}, "claimcheck_tasks_finished"},
		"to park":    {MySQL.waiting(`id`, ` < `+parkedFrom) + skipLocked, []any{"b", "q", 10}, "claimcheck_tasks_outbox"},
		"to unpark":  {MySQL.waiting(lightColumns, ` >= `+parkedFrom) + skipLocked, []any{"b", "q", 10}, "claimcheck_tasks_outbox"},
		"running":    {MySQL.runningQuery(), nil, "claimcheck_tasks_lease"},
		"admitted":   {MySQL.admittedQuery(), []any{now}, "claimcheck_tasks_admitted"},
		"tickets":    {MySQL.lostTickets() + skipLocked, []any{now, 100}, "claimcheck_tasks_admitted"},
		"lane":       {MySQL.firstInLane(` AND hold = 3`, ` AND key_id IS NULL`), []any{"b|q|t|", 10}, "claimcheck_tasks_limited"},
		"first free": {MySQL.firstFree(), []any{100}, "claimcheck_tasks_claim"},
		"in lanes":   {MySQL.countInLanes(), []any{"b|q|t|", "b|q|t}", 10}, "claimcheck_tasks_limited"},
		"park":       {MySQL.updateQuery(setParked, manyRows), someIDs(manyRows), "PRIMARY"},
		"probe":      {MySQL.probe(), nil, "PRIMARY claimcheck_groups_unfinished claimcheck_tasks_claim claimcheck_tasks_held claimcheck_tasks_lease claimcheck_tasks_limited claimcheck_tasks_outbox claimcheck_tasks_retention"},
		"backlog":    {MySQL.countReady(), []any{"b", "q", 100}, "claimcheck_tasks_outbox"},
		"expiry":     {MySQL.expiryDue() + skipLocked, []any{now, 100}, "claimcheck_tasks_retention"},
		"delete":     {MySQL.deleteDue() + skipLocked, []any{-now, 100}, "claimcheck_tasks_retention"},
	} {
		keys, extra := explain(t, s.writer, c.query, c.args...)
		if c.index != "" && keys != c.index {
			t.Errorf("%s: index %q is used, not %q", name, keys, c.index)
		}
		if strings.Contains(extra, "filesort") || strings.Contains(extra, "temporary") {
			t.Errorf("%s: %s", name, extra)
		}
	}

	start := time.Now()
	if rows, err := s.ClaimNext(t.Context(), queue.ClaimNextRequest{Tasks: []string{"t"}, Limit: 10, Worker: "w", Lease: time.Minute}); err != nil || len(rows) != 10 {
		t.Fatalf("ClaimNext: %d rows, %v", len(rows), err)
	}
	t.Logf("ClaimNext of 10: %s", time.Since(start))
}

// TestAFinishIsFoundByItsID uses a table with a single task.
func TestAFinishIsFoundByItsID(t *testing.T) {
	s := onMariaDB(t)
	row := &queue.NewRow{Row: &queue.Row{ID: uuid.New(), Task: "t", Args: json.RawMessage(`{}`), MaxAttempts: 3}}
	if err := s.Insert(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Claim(t.Context(), row.ID, queue.ClaimRequest{Tasks: []string{"t"}, Worker: "w", Lease: time.Minute, ClaimID: uuid.New()}); err != nil {
		t.Fatal(err)
	}
	analyze(t, s)
	for _, history := range []bool{false, true} {
		query := MySQL.finishQuery(history, "")
		args := make([]any, strings.Count(query, "?"))
		args[0], args[len(args)-2], args[len(args)-1] = "FAILED", row.ID, uuid.New()
		if keys, _ := explain(t, s.writer, query, args...); keys != "PRIMARY" {
			t.Errorf("history %v: index %q is used", history, keys)
		}
	}
}

func someIDs(n int) []any {
	ids := make([]any, n)
	for i := range ids {
		ids[i] = uuid.Must(uuid.NewV7())
	}
	return ids
}

// explain returns the indexes that a statement uses, sorted, each once, and the remarks.
func explain(t *testing.T, db *sql.DB, query string, args ...any) (keys, extra string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "EXPLAIN FORMAT=TRADITIONAL "+query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var used []string
	for rows.Next() {
		values := make([]sql.NullString, len(names))
		dest := make([]any, len(names))
		for i := range values {
			dest[i] = &values[i]
		}
		if err := rows.Scan(dest...); err != nil {
			t.Fatal(err)
		}
		for i, name := range names {
			switch {
			case name == "key" && values[i].Valid:
				used = append(used, values[i].String)
			case name == "Extra":
				extra += values[i].String + "; "
			}
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	// MySQL answers some parts of a statement while it plans, and names no index for them.
	slices.Sort(used)
	return strings.Join(slices.Compact(used), " "), extra
}

// fill stores rows, of which nine in ten are finished, and the rest is READY,
// waiting for its time, or RUNNING.
func fill(t *testing.T, s *Store, total int) {
	t.Helper()
	start := time.Now()
	for range total / 5000 {
		rows := make([]*queue.NewRow, 5000)
		for i := range rows {
			rows[i] = &queue.NewRow{Row: &queue.Row{
				ID: uuid.Must(uuid.NewV7()), Task: "t", Queue: "q", Backend: "b", Priority: i % 5, Args: json.RawMessage(`{}`), MaxAttempts: 3,
			}}
			if i%100 == 1 {
				rows[i].Delay = time.Hour
			}
		}
		if err := s.Insert(t.Context(), rows...); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d rows inserted in %s", total, time.Since(start))
	for _, change := range []string{
		"SET status = 'SUCCESSFUL', finished_at = enqueued_at WHERE hold = 0 AND RIGHT(id, 1) < 'e'",
		"SET status = 'RUNNING', lease_expires_at = enqueued_at + 60000000, last_attempted_at = enqueued_at WHERE status = 'READY' AND hold = 0 AND RIGHT(id, 2) = 'ff'",
	} {
		if _, err := s.writer.ExecContext(t.Context(), "UPDATE claimcheck_tasks "+change); err != nil {
			t.Fatal(err)
		}
	}
	analyze(t, s)
}

func analyze(t *testing.T, s *Store) {
	t.Helper()
	var unused [4]sql.NullString
	if err := s.writer.QueryRowContext(t.Context(), "ANALYZE TABLE claimcheck_tasks").Scan(&unused[0], &unused[1], &unused[2], &unused[3]); err != nil {
		t.Fatal(fmt.Errorf("analyze: %w", err))
	}
}

// TestMySQLListsReadOnlyTheirRows: an index over all rows begins with those of other views,
// for which its column is NULL.
func TestMySQLListsReadOnlyTheirRows(t *testing.T) {
	s := onMariaDB(t)
	fill(t, s, 50_000)
	conn, err := s.writer.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, view := range queue.Views() {
		for _, reverse := range []bool{false, true} {
			request := queue.ListRequest{Selection: queue.Selection{View: view}, Reverse: reverse, Limit: 10}
			query, err := MySQL.listQueries(request, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if n := rowsRead(t, conn, query.page); n > 100 {
				t.Errorf("%s, reverse %v: %d rows were read for a page of 10", view, reverse, n)
			}
		}
	}
}

// TestMySQLListsStopAtTheirLastRow: a page of a narrowed list reads neither all rows of the
// window that is searched, if there are enough before, nor rows beyond it.
func TestMySQLListsStopAtTheirLastRow(t *testing.T) {
	s := onMariaDB(t)
	fill(t, s, 50_000)
	if _, err := s.writer.ExecContext(t.Context(), "UPDATE claimcheck_tasks SET finished_at = finished_at + CONV(RIGHT(id, 5), 16, 10) WHERE finished_at IS NOT NULL"); err != nil {
		t.Fatal(err) // not all of one moment
	}
	conn, err := s.writer.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, view := range queue.Views() {
		for _, reverse := range []bool{false, true} {
			for queueName, most := range map[string]int{"": 100, "none": 2100} {
				request := queue.ListRequest{Selection: queue.Selection{View: view, Queue: queueName, Backend: "b"}, Reverse: reverse, Limit: 10, Window: 1000}
				query, err := MySQL.listQueries(request, time.Now())
				if err != nil {
					t.Fatal(err)
				}
				err = s.read(t.Context(), "list", func(q querier) error {
					ends, err := query.ends(t.Context(), q)
					if err != nil || len(ends) < 2 {
						return err
					}
					query.page = query.between(ends[1])
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if n := rowsRead(t, conn, query.page); n > most {
					t.Errorf("%s, reverse %v, queue %q: %d rows were read for a page of 10", view, reverse, queueName, n)
				}
			}
		}
	}
}

// rowsRead runs a query, and returns how many rows of tables and indexes it read.
func rowsRead(t *testing.T, conn *sql.Conn, query statement) (n int) {
	t.Helper()
	counts := func() (sum int) {
		t.Helper()
		rows, err := conn.QueryContext(t.Context(), `SHOW SESSION STATUS LIKE 'Handler_read%'`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			name, count := "", 0
			if err := rows.Scan(&name, &count); err != nil {
				t.Fatal(err)
			}
			sum += count
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return sum
	}
	before := counts()
	rows, err := conn.QueryContext(t.Context(), query.text, query.args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() { // to the end, which closes it
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return counts() - before
}
