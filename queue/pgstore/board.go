package pgstore

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
)

// queuesQuery: indexes: claimcheck_tasks_outbox, which has all but what is due,
// and claimcheck_tasks_claim for that; _lease; and the last hour of _finished.
const queuesQuery = `
WITH live AS (
	SELECT backend_name, queue_name,
		count(*) FILTER (WHERE hold = 0 OR coalesce(retry_at, run_after) <= now()) AS pending,
		count(*) FILTER (WHERE hold = 1 AND coalesce(retry_at, run_after) > now()) AS delayed,
		count(*) FILTER (WHERE dispatch_due_at <= now()) AS stranded,
		min(greatest(enqueued_at, coalesce(retry_at, run_after))) FILTER (WHERE hold = 0 OR coalesce(retry_at, run_after) <= now()) AS oldest
	FROM claimcheck_tasks WHERE status = 'READY' GROUP BY backend_name, queue_name
), running AS (
	SELECT backend_name, queue_name, count(*) AS n FROM claimcheck_tasks WHERE status = 'RUNNING' GROUP BY backend_name, queue_name
), ended AS (
	SELECT backend_name, queue_name, count(*) FILTER (WHERE status = 'SUCCESSFUL') AS succeeded, count(*) FILTER (WHERE status = 'FAILED') AS failed
	FROM claimcheck_tasks WHERE status IN ('SUCCESSFUL', 'FAILED') AND finished_at IS NOT NULL AND finished_at > now() - interval '1 hour'
	GROUP BY backend_name, queue_name
)
SELECT backend_name, queue_name, coalesce(live.pending, 0), coalesce(live.delayed, 0), coalesce(running.n, 0), coalesce(live.stranded, 0), live.oldest,
	coalesce(ended.succeeded, 0), coalesce(ended.failed, 0)
FROM live FULL JOIN running USING (backend_name, queue_name) FULL JOIN ended USING (backend_name, queue_name)
ORDER BY backend_name, queue_name`

// Queues returns the figures of each queue that has live rows, or had lately.
func (s *Store) Queues(ctx context.Context) (queues []queue.QueueStats, err error) {
	err = s.on(ctx, "count tasks by queue", func(conn *pgx.Conn) error {
		queues = nil
		result, err := conn.Query(ctx, queuesQuery)
		if err != nil {
			return err
		}
		var q queue.QueueStats
		_, err = pgx.ForEachRow(result, []any{
			&q.Backend, &q.Queue, &q.Pending, &q.Delayed, &q.Running, &q.Stranded, (*moment)(&q.OldestSince), &q.Succeeded, &q.Failed,
		}, func() error {
			queues = append(queues, q)
			return nil
		})
		return err
	})
	return queues, err
}

// historyQuery: index: claimcheck_tasks_finished, and nothing of the table.
const historyQuery = `
SELECT date_bin('1 hour', finished_at, '2000-01-01T00:00:00Z'), count(*) FILTER (WHERE status = 'SUCCESSFUL'), count(*) FILTER (WHERE status = 'FAILED')
FROM claimcheck_tasks WHERE status IN ('SUCCESSFUL', 'FAILED') AND finished_at IS NOT NULL AND finished_at >= $1::timestamptz
GROUP BY 1 ORDER BY 1`

// History counts the rows that have ended since then by hour.
func (s *Store) History(ctx context.Context, since time.Time) (hours []queue.HourStats, err error) {
	err = s.on(ctx, "count tasks by hour", func(conn *pgx.Conn) error {
		hours = nil
		result, err := conn.Query(ctx, historyQuery, timeValue(since))
		if err != nil {
			return err
		}
		var h queue.HourStats
		_, err = pgx.ForEachRow(result, []any{(*moment)(&h.Hour), &h.Succeeded, &h.Failed}, func() error {
			hours = append(hours, h)
			return nil
		})
		return err
	})
	return hours, err
}

// failuresQuery: index: claimcheck_tasks_finished, from its end.
var failuresQuery = fmt.Sprintf(`
SELECT task_path, coalesce(error_group, ''), count(*), max(finished_at), coalesce(max(error_text), '')
FROM (
	SELECT task_path, error_group, finished_at, error_text FROM claimcheck_tasks
	WHERE status = 'FAILED' AND finished_at IS NOT NULL AND finished_at >= $1::timestamptz
	ORDER BY finished_at DESC LIMIT %d
) AS latest
GROUP BY 1, 2 ORDER BY 3 DESC, 4 DESC, 1, 2 LIMIT $2::int8`, queue.FailuresWindow)

// Failures groups the rows that have FAILED since then.
func (s *Store) Failures(ctx context.Context, since time.Time, limit int) (groups []queue.FailureGroup, err error) {
	err = s.on(ctx, "group failed tasks", func(conn *pgx.Conn) error {
		groups = nil
		result, err := conn.Query(ctx, failuresQuery, timeValue(since), limit)
		if err != nil {
			return err
		}
		var g queue.FailureGroup
		_, err = pgx.ForEachRow(result, []any{&g.Task, &g.Group, &g.Count, (*moment)(&g.Last), &g.Error}, func() error {
			groups = append(groups, g)
			return nil
		})
		return err
	})
	return groups, err
}

// The mark is left alone while another transaction has it locked, which is as a
// rule another Mark.
const (
	markQuery    = `UPDATE claimcheck_marks SET at = now() WHERE name = (SELECT name FROM claimcheck_marks WHERE name = $1::text FOR UPDATE SKIP LOCKED)`
	newMarkQuery = `INSERT INTO claimcheck_marks (name, at) VALUES ($1::text, now()) ON CONFLICT (name) DO NOTHING`
)

// Touch notes under a name that something happened now.
func (s *Store) Touch(ctx context.Context, name string) error {
	return s.on(ctx, "mark", func(conn *pgx.Conn) error {
		n, err := count(conn.Exec(ctx, markQuery, name))
		if err == nil && n == 0 {
			_, err = conn.Exec(ctx, newMarkQuery, name)
		}
		return err
	})
}

// Touched returns when each mark was last made.
func (s *Store) Touched(ctx context.Context) (marks map[string]time.Time, err error) {
	err = s.on(ctx, "read marks", func(conn *pgx.Conn) error {
		marks = make(map[string]time.Time)
		result, err := conn.Query(ctx, `SELECT name, at FROM claimcheck_marks`)
		if err != nil {
			return err
		}
		var name string
		var at time.Time
		_, err = pgx.ForEachRow(result, []any{&name, (*moment)(&at)}, func() error {
			marks[name] = at
			return nil
		})
		return err
	})
	return marks, err
}

// noteQuery: index: the primary key.
const noteQuery = `
INSERT INTO claimcheck_audit (id, at, actor, action, task_id, target, done, failed, ended)
VALUES ($1::uuid, now(), $2::text, $3::text, $4::uuid, $5::text, $6::int8, $7::int8, $8::bool)
ON CONFLICT (id) DO UPDATE SET done = excluded.done, failed = excluded.failed, ended = excluded.ended
RETURNING at`

// RecordAudit keeps an entry of the audit log.
func (s *Store) RecordAudit(ctx context.Context, e queue.AuditEntry) (at time.Time, err error) {
	err = s.on(ctx, "write the audit log", func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, noteQuery, uuidValue(e.ID), e.Actor, e.Action, uuidValue(e.Task), e.Target, e.Done, e.Failed, e.Ended).Scan((*moment)(&at))
	})
	return at, err
}

// notesQuery: index: claimcheck_audit_at, or _task, from its end.
func notesQuery(task uuid.UUID, before time.Time, limit int) statement {
	var q statement
	q.add(`SELECT id, at, actor, action, task_id, target, done, failed, ended FROM claimcheck_audit WHERE true`)
	if task != uuid.Nil {
		q.add(` AND task_id = %s::uuid`, uuidValue(task))
	}
	if !before.IsZero() {
		q.add(` AND at < %s::timestamptz`, timeValue(before))
	}
	q.add(` ORDER BY at DESC LIMIT %s::int8`, limit)
	return q
}

// AuditLog returns the latest entries of the audit log.
func (s *Store) AuditLog(ctx context.Context, task uuid.UUID, before time.Time, limit int) (entries []queue.AuditEntry, err error) {
	q := notesQuery(task, before, limit)
	err = s.on(ctx, "read the audit log", func(conn *pgx.Conn) error {
		entries = nil
		result, err := conn.Query(ctx, q.text, q.args...)
		if err != nil {
			return err
		}
		var e queue.AuditEntry
		_, err = pgx.ForEachRow(result, []any{(*id)(&e.ID), (*moment)(&e.At), &e.Actor, &e.Action, (*id)(&e.Task), &e.Target, &e.Done, &e.Failed, &e.Ended}, func() error {
			entries = append(entries, e)
			return nil
		})
		return err
	})
	return entries, err
}
