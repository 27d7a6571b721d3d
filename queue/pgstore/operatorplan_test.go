package pgstore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Lists and statistics use indexes, too: from the start, from the end, and
// from the middle. (A list with a filter looks for it in a window of 20,000 rows,
// which is half of the table here, and may well be sorted.)
func TestTheOperatorViewUsesItsIndexes(t *testing.T) {
	conn := planned(t, backlog)
	check := func(name string, q statement, index string) {
		t.Helper()
		for _, plan := range explain(t, conn, q.text, q.args) {
			// An incremental sort is that of rows with the same time.
			if !strings.Contains(plan, index) || strings.Contains(plan, "Seq Scan") || strings.Contains(strings.ReplaceAll(plan, "Incremental Sort", ""), "Sort  (") {
				t.Errorf("%s does not go by %s:\n%s\n%s", name, index, q.text, plan)
			}
		}
	}
	past, future := time.Now().Add(-5000*time.Second), time.Now().Add(5000*time.Second)
	for view, c := range map[queue.View]struct {
		index  string
		middle time.Time
	}{
		queue.ViewAll: {"claimcheck_tasks_pkey", past}, queue.ViewPending: {"claimcheck_tasks_claim", past}, queue.ViewDelayed: {"claimcheck_tasks_held", future},
		queue.ViewRunning: {"claimcheck_tasks_lease", future}, queue.ViewSuccessful: {"claimcheck_tasks_finished", past},
	} {
		for _, after := range []string{"", queue.Cursor{ID: uuid.New(), At: c.middle, Priority: 3}.String()} {
			for _, reverse := range []bool{false, true} {
				page, _, err := listQueries(queue.ListRequest{Selection: queue.Selection{View: view}, Limit: 50, Reverse: reverse, After: after})
				if err != nil {
					t.Fatal(err)
				}
				check(fmt.Sprintf("%s, after %q, reverse %t", view, after, reverse), page, c.index)
			}
		}
	}
	check("notes", auditLogQuery(uuid.Nil, time.Now(), 10), "claimcheck_audit_at")
	for index, q := range map[string]statement{
		"claimcheck_audit_task": auditLogQuery(uuid.New(), time.Time{}, 10),
	} {
		for _, plan := range explain(t, conn, q.text, q.args) {
			if !strings.Contains(plan, index) || strings.Contains(plan, "Seq Scan on claimcheck_tasks") {
				t.Errorf("%s is not used:\n%s", index, plan)
			}
		}
	}
}

// Whatever the planner knows of the rows, those that wait are counted from their index
// alone, and neither they nor others are sorted.
func TestFiguresReadOnlyAnIndex(t *testing.T) {
	all, _ := statsQuery(queue.Filter{})
	some, args := statsQuery(queue.Filter{Queue: "q", Backend: "b"})
	for name, rows := range map[string]string{"a backlog": backlog, "no statistics": "SELECT"} {
		conn := planned(t, rows)
		for _, q := range []statement{{queuesQuery, nil}, {all, nil}, {some, args}} {
			for _, plan := range explain(t, conn, q.text, q.args) {
				if !strings.Contains(plan, "Index Only Scan using claimcheck_tasks_waiting") {
					t.Errorf("%s:\n%s", name, plan)
				}
				if q.text == queuesQuery && (strings.Count(plan, "GroupAggregate") != 1 || strings.Count(plan, "HashAggregate") != 2) {
					t.Errorf("%s: rows are sorted:\n%s", name, plan)
				}
			}
		}
	}
}

// However long the audit log is, a page of it reads as many entries as it has.
func TestAPageOfTheAuditLogSortsOnlyEntriesOfOneMoment(t *testing.T) {
	conn := planned(t, `INSERT INTO claimcheck_audit (id, at, actor, action, target, done, failed, ended)
		SELECT gen_random_uuid(), now() - n * interval '1 second', 'ann', 'retry', 'task', 1, 0, true FROM generate_series(1, 50000) n; ANALYZE claimcheck_audit`)
	for _, r := range []queue.AuditRequest{
		{}, {Since: time.Now().Add(-10 * time.Hour)},
		{Since: time.Now().Add(-10 * time.Hour), Until: time.Now(), After: queue.Cursor{ID: uuid.New(), At: time.Now().Add(-time.Hour)}.String()},
	} {
		r.Limit = 100
		q, err := readAuditQuery(r)
		if err != nil {
			t.Fatal(err)
		}
		plan := explain(t, conn, q.text, q.args)[0]
		if !strings.Contains(plan, "claimcheck_audit_at") || !strings.Contains(plan, "Incremental Sort") {
			t.Errorf("%+v sorts all of it:\n%s", r, plan)
		}
	}
}
