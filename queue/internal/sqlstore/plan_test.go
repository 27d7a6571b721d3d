package sqlstore

import (
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

func TestEveryStatementUsesItsIndex(t *testing.T) {
	s := onSQLite(t)
	claimAll, claimAllArgs := SQLite.wanted(columns, queue.ClaimNextRequest{Tasks: []string{"t"}}, gates{}, time.Now())
	claimSome, claimSomeArgs := SQLite.wanted(columns, queue.ClaimNextRequest{Tasks: []string{"t", "u"}, Queues: []string{"a", "b"}, Backend: "c"}, gates{paused: []string{"d"}}, time.Now())
	stats, statsArgs := statsQuery(queue.Filter{}, time.Now(), true)
	statsSome, statsSomeArgs := statsQuery(queue.Filter{Queue: "a", Backend: "c"}, time.Now(), false)
	abandoned, abandonedArgs := abandonedRows(queue.RequeueRequest{Filter: queue.Filter{Queue: "a"}}, time.Now(), 1)
	state := make([]any, strings.Count(saveQuery, "?"))
	audit, err := readAuditQuery(queue.AuditRequest{Since: time.Now(), Until: time.Now(), After: queue.Cursor{At: time.Now()}.String(), Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		query   string
		args    []any
		indexes []string
	}{
		"load":         {`SELECT ` + columns + ` FROM claimcheck_tasks WHERE id = ?`, []any{"x"}, []string{"autoindex"}},
		"save":         {saveQuery, state, []string{"autoindex"}},
		"holding":      {SQLite.holdingQuery(1), []any{"x", "y"}, []string{"autoindex"}},
		"renew":        {SQLite.updateQuery(setRenewed, 2), []any{1, "x", "y"}, []string{"autoindex"}},
		"not sent":     {SQLite.readyQuery(2), []any{"x", "y"}, []string{"autoindex"}},
		"next queue":   {SQLite.nextQueue(), []any{"b", "q"}, []string{"COVERING INDEX claimcheck_tasks_outbox"}},
		"stranded":     {SQLite.stranded(), []any{"b", "q", 1, 1, 1}, []string{"INDEX claimcheck_tasks_outbox"}},
		"take":         {SQLite.updateQuery(setTaken(1), 1), []any{"x", 1, "x"}, []string{"autoindex"}},
		"claim all":    {claimAll, append(claimAllArgs, 10), []string{"claimcheck_tasks_claim"}},
		"claim some":   {claimSome, append(claimSomeArgs, 10), []string{"claimcheck_tasks_claim"}},
		"claimed":      {SQLite.claimed(), []any{"x", "y"}, []string{"claimcheck_tasks_lease"}},
		"held claims":  {SQLite.heldQuery(1), []any{"x", "y"}, []string{"autoindex"}},
		"unclaim":      {SQLite.updateQuery(setUnclaimed(1), 1), []any{"x", "[]", 1, 1, "x"}, []string{"autoindex"}},
		"held":         {SQLite.heldDue(), []any{1, 1}, []string{"claimcheck_tasks_held"}},
		"expired":      {SQLite.leaseExpired(), []any{1, 1}, []string{"claimcheck_tasks_lease"}},
		"lost":         {SQLite.workerLost(), []any{1, 1}, []string{"claimcheck_tasks_lease"}},
		"release":      {SQLite.updateQuery(setReleased, 2), []any{"x", "y"}, []string{"autoindex"}},
		"reclaim":      {SQLite.updateQuery(setReclaimed, 2), []any{1, 1, 1, "x", "y"}, []string{"autoindex"}},
		"lose":         {SQLite.updateQuery(setLost(1), 1), []any{1, "x", "e", "x", "e", "x", "e", "x"}, []string{"autoindex"}},
		"probe":        {SQLite.probe(), []any{1}, []string{"claimcheck_tasks_claim", "claimcheck_tasks_held", "claimcheck_tasks_lease"}},
		"next backend": {SQLite.nextBackend(), []any{"b"}, []string{"COVERING INDEX claimcheck_tasks_outbox"}},
		"to park":      {SQLite.waiting(`id`, ` < `+parkedFrom), []any{"b", "q", 10}, []string{"claimcheck_tasks_outbox (backend_name=? AND queue_name=? AND dispatch_due_at<?)"}},
		"to unpark":    {SQLite.waiting(lightColumns, ` >= `+parkedFrom), []any{"b", "q", 10}, []string{"claimcheck_tasks_outbox (backend_name=? AND queue_name=? AND dispatch_due_at>?)"}},
		"running":      {SQLite.runningQuery(), nil, []string{"claimcheck_tasks_lease"}},
		"admitted":     {SQLite.admittedQuery(), []any{1}, []string{"claimcheck_tasks_admitted"}},
		"lost tickets": {SQLite.lostTickets(), []any{1, 100}, []string{"claimcheck_tasks_admitted"}},
		"lanes":        {SQLite.lanesQuery(), []any{"b|q|t|", 100}, []string{"claimcheck_tasks_limited (<expr>>?)"}},
		"lane":         {SQLite.firstInLane(` AND hold = 3`, ` AND key_id IS NULL`), []any{"b|q|t|", 10}, []string{"claimcheck_tasks_limited (<expr>=?)"}},
		"first free":   {SQLite.firstFree(), []any{100}, []string{"claimcheck_tasks_claim"}},
		"next lane":    {SQLite.nextLane(), []any{"b|q|t}"}, []string{"claimcheck_tasks_limited (<expr>>?)"}},
		"in lanes":     {SQLite.countInLanes(), []any{"b|q|t|", "b|q|t}", 10}, []string{"claimcheck_tasks_limited (<expr>>? AND <expr><?)"}},
		"park":         {SQLite.updateQuery(setParked, 1), []any{"x"}, []string{"autoindex"}},
		"stats":        {stats, statsArgs, []string{"claimcheck_tasks_held", "claimcheck_tasks_lease", "COVERING INDEX claimcheck_tasks_finished"}},
		"stats, some":  {statsSome, statsSomeArgs, []string{"claimcheck_tasks_outbox", "claimcheck_tasks_lease", "claimcheck_tasks_finished"}},
		"purge":        {firstFinishedQuery(""), []any{"FAILED", 1, 1, 1, 1, 1}, []string{"claimcheck_tasks_finished"}},
		"purge a task": {firstFinishedQuery("t"), []any{"FAILED", 1, 1, 1, 1, "t", 1}, []string{"claimcheck_tasks_finished"}},
		"purge end":    {SQLite.purgeEndQuery(), []any{"FAILED", 1, 1, 1}, []string{"COVERING INDEX claimcheck_tasks_finished"}},
		"figures due":  {SQLite.figuresDueQuery(), []any{"SUCCESSFUL", "FAILED", "CANCELLED", 1, 1, 1, 1}, []string{"claimcheck_tasks_finished (status=? AND finished_at>?", "SEARCH claimcheck_figures"}},
		"figure rows":  {SQLite.figureRowsQuery(), []any{"SUCCESSFUL", "FAILED", "CANCELLED", 1, 1}, []string{"claimcheck_tasks_finished (status=? AND finished_at>? AND finished_at<?)"}},
		"figures tail": {SQLite.figuresTailQuery(), []any{"FAILED", 1, 1, 1}, []string{"claimcheck_tasks_finished"}},
		"delete":       {deleteFinalQuery(2), []any{"x", "y"}, []string{"autoindex"}},
		"holders":      {SQLite.holdersQuery(1), []any{"t", "a"}, []string{"claimcheck_tasks_unique"}},
		"twins":        {`SELECT count(*) FROM claimcheck_tasks WHERE id = ? AND ` + SQLite.keyIsFree(), []any{"x"}, []string{"autoindex", "claimcheck_tasks_unique"}},
		"live twins":   {`SELECT count(*) FROM claimcheck_tasks WHERE id = ? AND ` + SQLite.keyWillBeFree(time.Now()), []any{"x"}, []string{"autoindex", "claimcheck_tasks_unique"}},
		"purgeable":    {SQLite.countPurgeableQuery(""), []any{"FAILED", 1, "FAILED", 1, 1, "FAILED", 1, 1, 1}, []string{"claimcheck_tasks_finished", "claimcheck_tasks_delete", "claimcheck_tasks_unique"}},
		"backlog":      {SQLite.countReady(), []any{"b", "q", 1}, []string{"COVERING INDEX claimcheck_tasks_outbox"}},
		"expiry":       {SQLite.expiryDue(), []any{1, 1}, []string{"claimcheck_tasks_expiry"}},
		"delete kept":  {SQLite.deleteDue(), []any{1, 1}, []string{"claimcheck_tasks_delete"}},
		"audit":        {audit.text, audit.args, []string{"INDEX claimcheck_audit_at (at>? AND at<?)", "LAST TERM"}},
		"abandoned":    {`SELECT ` + columns + abandoned, abandonedArgs, []string{"claimcheck_tasks_lease"}},
	} {
		rows, err := s.reader.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+c.query, c.args...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer rows.Close()
		var plan strings.Builder
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			plan.WriteString(detail + "\n")
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		for _, index := range c.indexes {
			if !strings.Contains(plan.String(), index) {
				t.Errorf("%s: %s is not used:\n%s", name, index, plan.String())
			}
		}
		for line := range strings.Lines(plan.String()) {
			if strings.Contains(line, "TEMP B-TREE") && !strings.Contains(line, "LAST TERM") || strings.HasPrefix(line, "SCAN claimcheck_tasks") && !strings.Contains(line, "INDEX") {
				t.Errorf("%s: it visits the whole table:\n%s", name, plan.String())
			}
		}
	}
}
