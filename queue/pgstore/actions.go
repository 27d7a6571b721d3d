package pgstore

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

var grace = interval(queue.DispatchGrace)

// actions are the columns that each action sets; ActionDelete sets none.
var actions = map[queue.Action]string{
	queue.ActionRun: keepTicket + `, hold = 0, run_after = NULL, retry_at = now(), dispatch_error = NULL, dispatch_due_at = now() + ` + grace,
	queue.ActionRetry: `status = 'READY', delete_at = NULL, hold = CASE WHEN run_after > now() THEN 1 ELSE 0 END, finished_at = NULL, claim_id = NULL, retry_at = greatest(now(), run_after),
	max_attempts = greatest(max_attempts, attempts + 1), interruptions = 0, dispatch_tries = 0, dispatch_error = NULL, dispatch_due_at = now() + ` + grace,
	queue.ActionRequeue: setReclaimed + `, max_attempts = greatest(max_attempts, attempts + 1)`,
	queue.ActionCancel:  setCancelled(),
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

// Conditions on the keys of the rows that a retry is for. Its counts regard the keys of rows
// that have expired as free: they change nothing, and queue.Client.Act cancels these rows.
var (
	withFreeKey    = ` AND ` + keyIsFree
	withKeyToBeHad = ` AND ` + keyWillBeFree
	withTakenKey   = ` AND NOT ` + keyWillBeFree
)

const withoutKey, withKey = ` AND unique_scope IS DISTINCT FROM 1`, ` AND unique_scope = 1`

// matching appends the rows that an action would change, and for which more holds.
func (s *statement) matching(a queue.Action, selection queue.Selection, before time.Time, more string) error {
	if err := storekit.CheckAction(a, &selection); err != nil {
		return err
	}
	s.args = append(s.args, timeValue(before)) // $1
	s.add(` FROM claimcheck_tasks WHERE ` + actionRows(a) + ` AND ` + views[selection.View].rows + more)
	s.chosen(selection)
	s.filter(selection)
	return nil
}

// CountMatching counts the rows that an action would change, up to limit.
func (s *Store) CountMatching(ctx context.Context, a queue.Action, selection queue.Selection, before time.Time, limit int) (int, error) {
	more := ``
	if a == queue.ActionRetry {
		more = withKeyToBeHad
	}
	return s.countMatching(ctx, a, selection, before, limit, more)
}

// CountTaken counts the FAILED rows that a retry skips because of their keys.
func (s *Store) CountTaken(ctx context.Context, selection queue.Selection, before time.Time, limit int) (int, error) {
	return s.countMatching(ctx, queue.ActionRetry, selection, before, limit, withTakenKey)
}

// CountDropped counts the FAILED rows that a retry skips because they have no arguments.
func (s *Store) CountDropped(ctx context.Context, selection queue.Selection, before time.Time, limit int) (int, error) {
	return s.countMatching(ctx, storekit.DroppedRetry, selection, before, limit, ``)
}

func (s *Store) countMatching(ctx context.Context, a queue.Action, selection queue.Selection, before time.Time, limit int, more string) (n int, err error) {
	if before.IsZero() {
		before = storekit.Forever
	}
	var q statement
	q.text = `SELECT count(*) FROM (SELECT 1`
	if err := q.matching(a, selection, before, more); err != nil {
		return 0, err
	}
	q.add(` LIMIT %s::int8) AS rows`, limit)
	err = s.on(ctx, "count tasks", func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, q.text, q.args...).Scan(&n)
	})
	return n, err
}

// Act changes up to limit selected rows that the action applies to.
func (s *Store) Act(ctx context.Context, a queue.Action, selection queue.Selection, before time.Time, limit int) ([]*queue.Row, error) {
	defer s.hints.forget()
	if a != queue.ActionRetry {
		return s.act(ctx, a, selection, before, limit, ``)
	}
	rows, err := s.act(ctx, a, selection, before, limit, withoutKey)
	for n := 1; n > 0 && err == nil && len(rows) < limit; {
		var more []*queue.Row
		more, err = s.retryKeyed(ctx, selection, before, limit-len(rows))
		rows, n = append(rows, more...), len(more)
	}
	return rows, err
}

// act changes rows in one statement.
func (s *Store) act(ctx context.Context, a queue.Action, selection queue.Selection, before time.Time, limit int, more string) (rows []*queue.Row, err error) {
	var q statement
	q.text = `UPDATE claimcheck_tasks SET ` + actions[a]
	if a == queue.ActionDelete {
		q.text = `DELETE FROM claimcheck_tasks`
	}
	q.text += ` WHERE id = ANY(ARRAY(SELECT id`
	if err := q.matching(a, selection, before, more); err != nil {
		return nil, err
	}
	q.add(` LIMIT %s::int8 FOR UPDATE SKIP LOCKED)) RETURNING `+lightColumns, limit)
	err = s.on(ctx, string(a)+" tasks", func(conn *pgx.Conn) error {
		rows, err = many(conn.Query(ctx, q.text, q.args...))
		return err
	})
	return rows, err
}

// retryKeyed is act for FAILED rows that take their keys again, which can fail: each has
// a statement of its own, so that of several rows with one key one is changed.
func (s *Store) retryKeyed(ctx context.Context, selection queue.Selection, before time.Time, limit int) (rows []*queue.Row, err error) {
	var q statement
	q.text = `SELECT id`
	if err := q.matching(queue.ActionRetry, selection, before, withKey+withFreeKey); err != nil {
		return nil, err
	}
	q.add(` LIMIT %s::int8`, limit)
	var ids []uuid.UUID
	err = s.on(ctx, "retry tasks", func(conn *pgx.Conn) error {
		ids = nil
		result, err := conn.Query(ctx, q.text, q.args...)
		if err != nil {
			return err
		}
		var found id
		_, err = pgx.ForEachRow(result, []any{&found}, func() error {
			ids = append(ids, uuid.UUID(found))
			return nil
		})
		return err
	})
	for _, one := range ids {
		if err != nil {
			break
		}
		var more []*queue.Row
		selection.IDs = []uuid.UUID{one}
		more, err = s.act(ctx, queue.ActionRetry, selection, before, 1, withFreeKey+waitingBriefly)
		if isCode(err, pgerrcode.UniqueViolation) || isCode(err, pgerrcode.LockNotAvailable) {
			err = nil // another row has just taken the key, or is taking it
		}
		rows = append(rows, more...)
	}
	return rows, err
}
