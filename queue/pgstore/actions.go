package pgstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

var grace = interval(queue.DispatchGrace)

// actions are the columns that each action sets.
var actions = map[queue.Action]string{
	queue.ActionRun: `hold = 0, run_after = NULL, retry_at = now(), dispatch_error = NULL, dispatch_due_at = now() + ` + grace,
	queue.ActionRetry: `status = 'READY', hold = CASE WHEN run_after > now() THEN 1 ELSE 0 END, finished_at = NULL, claim_id = NULL, retry_at = greatest(now(), run_after),
	max_attempts = greatest(max_attempts, attempts + 1), interruptions = 0, dispatch_tries = 0, dispatch_error = NULL, dispatch_due_at = now() + ` + grace,
	queue.ActionRequeue: setReclaimed + `, max_attempts = greatest(max_attempts, attempts + 1)`,
	queue.ActionCancel:  setCancelled,
}

// actionRows returns the condition of the rows that an action applies to, and has not
// been applied to since $1, which each names.
func actionRows(a queue.Action) string {
	rows := storekit.ActionRows(a, `$1::timestamptz`, `now()`, grace)
	if a == queue.ActionRequeue {
		rows += ` AND $1::timestamptz IS NOT NULL`
	}
	return rows
}

// matching appends the rows that an action would change.
func (s *statement) matching(a queue.Action, selection queue.Selection, before time.Time) error {
	if err := storekit.CheckAction(a, &selection); err != nil {
		return err
	}
	s.args = append(s.args, timeValue(before)) // $1
	s.add(` FROM claimcheck_tasks WHERE ` + actionRows(a) + ` AND ` + views[selection.View].rows)
	s.ids(selection.IDs)
	s.filter(selection)
	return nil
}

// CountMatching counts the rows that an action would change, up to limit.
func (s *Store) CountMatching(ctx context.Context, a queue.Action, selection queue.Selection, before time.Time, limit int) (n int, err error) {
	if before.IsZero() {
		before = storekit.Forever
	}
	var q statement
	q.text = `SELECT count(*) FROM (SELECT 1`
	if err := q.matching(a, selection, before); err != nil {
		return 0, err
	}
	q.add(` LIMIT %s::int8) AS rows`, limit)
	err = s.on(ctx, "count tasks", func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, q.text, q.args...).Scan(&n)
	})
	return n, err
}

// Act changes up to limit selected rows that the action applies to.
func (s *Store) Act(ctx context.Context, a queue.Action, selection queue.Selection, before time.Time, limit int) (rows []*queue.Row, err error) {
	var q statement
	q.text = `UPDATE claimcheck_tasks SET ` + actions[a] + ` WHERE id = ANY(ARRAY(SELECT id`
	if err := q.matching(a, selection, before); err != nil {
		return nil, err
	}
	q.add(` LIMIT %s::int8 FOR UPDATE SKIP LOCKED)) RETURNING `+lightColumns, limit)
	defer s.hints.forget()
	err = s.on(ctx, string(a)+" tasks", func(conn *pgx.Conn) error {
		rows, err = many(conn.Query(ctx, q.text, q.args...))
		return err
	})
	return rows, err
}
