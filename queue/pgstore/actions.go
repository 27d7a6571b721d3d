package pgstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
)

// actionSQL is a queue.Action in SQL: the condition of the rows that it applies to and
// has not been applied to since $1, and the columns that it sets.
type actionSQL struct{ rows, set string }

var grace = interval(queue.DispatchGrace)

var actions = map[queue.Action]actionSQL{
	// Not rows that since then were made due, failed to be dispatched, or have run.
	queue.ActionRun: {`status = 'READY' AND NOT (hold = 0 AND dispatch_due_at > $1::timestamptz + ` + grace + ` AND dispatch_due_at <= now() + ` + grace + `)
		AND NOT (dispatch_error IS NOT NULL AND dispatch_due_at > $1::timestamptz AND dispatch_due_at <= now())
		AND (last_attempted_at IS NULL OR last_attempted_at < $1::timestamptz)`,
		`hold = 0, run_after = NULL, retry_at = now(), dispatch_error = NULL, dispatch_due_at = now() + ` + grace},
	queue.ActionRetry: {`status = 'FAILED' AND finished_at <= $1::timestamptz`,
		`status = 'READY', hold = CASE WHEN run_after > now() THEN 1 ELSE 0 END, finished_at = NULL, claim_id = NULL, retry_at = greatest(now(), run_after),
	max_attempts = greatest(max_attempts, attempts + 1), interruptions = 0, dispatch_tries = 0, dispatch_error = NULL, dispatch_due_at = now() + ` + grace},
	queue.ActionRequeue: {`status = 'RUNNING' AND lease_expires_at <= now() AND $1::timestamptz IS NOT NULL`,
		setReclaimed + `, max_attempts = greatest(max_attempts, attempts + 1)`},
	queue.ActionCancel: {`status IN ('READY', 'RUNNING') AND enqueued_at <= $1::timestamptz`, setCancelled},
}

// matching appends the rows that an action would change.
func (s *statement) matching(a queue.Action, selection queue.Selection, before time.Time) error {
	action, ok := actions[a]
	if !ok {
		return fmt.Errorf("%w: action %q is not known", queue.ErrInvalid, a)
	}
	if err := selection.Check(); err != nil {
		return err
	}
	s.args = append(s.args, timeValue(before)) // $1
	s.add(` FROM claimcheck_tasks WHERE ` + action.rows + ` AND ` + views[selection.View].rows)
	s.ids(selection.IDs)
	s.filter(selection)
	return nil
}

// CountMatching counts the rows that an action would change, up to limit.
func (s *Store) CountMatching(ctx context.Context, a queue.Action, selection queue.Selection, before time.Time, limit int) (n int, err error) {
	if before.IsZero() {
		before = forever
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

// forever is after all times.
var forever = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// Act changes up to limit selected rows that the action applies to.
func (s *Store) Act(ctx context.Context, a queue.Action, selection queue.Selection, before time.Time, limit int) (rows []*queue.Row, err error) {
	var q statement
	q.text = `UPDATE claimcheck_tasks SET ` + actions[a].set + ` WHERE id = ANY(ARRAY(SELECT id`
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
