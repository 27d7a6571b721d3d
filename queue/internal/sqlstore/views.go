package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// The three parts of Queues. Indexes: claimcheck_tasks_outbox or _finished for
// what is READY (the database chooses), _lease, and the last hour of _finished.
const (
	isPending    = `(hold = 0 OR hold >= 2 AND retry_at IS NULL AND run_after IS NULL OR coalesce(retry_at, run_after) <= ?)`
	readyByQueue = `SELECT backend_name, queue_name, sum(CASE WHEN ` + isPending + ` THEN 1 ELSE 0 END),
	sum(CASE WHEN hold <> 0 AND coalesce(retry_at, run_after) > ? THEN 1 ELSE 0 END), sum(CASE WHEN dispatch_due_at <= ?` + andNotGated + ` THEN 1 ELSE 0 END),
	min(CASE WHEN ` + isPending + ` THEN ` + waitingSince + ` END)
	FROM claimcheck_tasks WHERE status = 'READY' GROUP BY backend_name, queue_name`
	runningByQueue = `SELECT backend_name, queue_name, count(*) FROM claimcheck_tasks WHERE status = 'RUNNING' GROUP BY backend_name, queue_name`
	endedByQueue   = `SELECT backend_name, queue_name, status, count(*) FROM claimcheck_tasks
	WHERE status IN ('SUCCESSFUL', 'FAILED') AND finished_at IS NOT NULL AND finished_at > ? GROUP BY backend_name, queue_name, status`
)

// Queues returns the stats of each queue that has live rows, or had some lately.
func (s *Store) Queues(ctx context.Context) ([]queue.QueueStats, error) {
	type name struct{ backend, queue string }
	var found map[name]*queue.QueueStats
	of := func(n name) *queue.QueueStats {
		if found[n] == nil {
			found[n] = &queue.QueueStats{Backend: n.backend, Queue: n.queue}
		}
		return found[n]
	}
	err := s.read(ctx, "count tasks by queue", func(conn querier) error {
		found = make(map[name]*queue.QueueStats)
		now, err := conn.now(ctx)
		if err != nil {
			return err
		}
		err = each(ctx, conn, func(scan func(...any) error) error {
			var n name
			var f queue.QueueStats
			err := scan(&n.backend, &n.queue, &f.Pending, &f.Delayed, &f.Stranded, at(&f.OldestSince))
			q := of(n)
			q.Pending, q.Delayed, q.Stranded, q.OldestSince = f.Pending, f.Delayed, f.Stranded, f.OldestSince
			return err
		}, readyByQueue, micros(now), micros(now), micros(now), micros(now))
		if err != nil {
			return err
		}
		err = each(ctx, conn, func(scan func(...any) error) error {
			var n name
			var count int
			err := scan(&n.backend, &n.queue, &count)
			of(n).Running = count
			return err
		}, runningByQueue)
		if err != nil {
			return err
		}
		return each(ctx, conn, func(scan func(...any) error) error {
			var n name
			var status queue.Status
			var count int
			err := scan(&n.backend, &n.queue, &status, &count)
			if status == queue.StatusFailed {
				of(n).Failed = count
			} else {
				of(n).Succeeded = count
			}
			return err
		}, endedByQueue, micros(now.Add(-time.Hour)))
	})
	if err != nil {
		return nil, err
	}
	var queues []queue.QueueStats
	for _, q := range found {
		queues = append(queues, *q)
	}
	slices.SortFunc(queues, func(a, b queue.QueueStats) int {
		return cmp.Or(cmp.Compare(a.Backend, b.Backend), cmp.Compare(a.Queue, b.Queue))
	})
	return queues, nil
}

// historyQuery: index: claimcheck_tasks_finished, and nothing of the table.
var historyQuery = fmt.Sprintf(`SELECT finished_at - finished_at %% %d AS hour,
	sum(CASE WHEN status = 'SUCCESSFUL' THEN 1 ELSE 0 END), sum(CASE WHEN status = 'FAILED' THEN 1 ELSE 0 END)
	FROM claimcheck_tasks WHERE status IN ('SUCCESSFUL', 'FAILED') AND finished_at IS NOT NULL AND finished_at >= ? GROUP BY 1 ORDER BY 1`,
	time.Hour.Microseconds())

// History counts the rows that have ended since then by hour.
func (s *Store) History(ctx context.Context, since time.Time) (hours []queue.HourStats, err error) {
	err = s.read(ctx, "count tasks by hour", func(conn querier) error {
		hours = nil
		return each(ctx, conn, func(scan func(...any) error) error {
			var h queue.HourStats
			err := scan(at(&h.Hour), &h.Succeeded, &h.Failed)
			hours = append(hours, h)
			return err
		}, historyQuery, micros(since))
	})
	return hours, err
}

// failuresQuery: index: claimcheck_tasks_finished, from its end.
var failuresQuery = fmt.Sprintf(`SELECT task_path, coalesce(error_group, ''), count(*), max(finished_at), coalesce(max(error_text), '')
	FROM (SELECT task_path, error_group, finished_at, error_text FROM claimcheck_tasks
		WHERE status = 'FAILED' AND finished_at IS NOT NULL AND finished_at >= ? ORDER BY finished_at DESC LIMIT %d) AS latest
	GROUP BY 1, 2 ORDER BY 3 DESC, 4 DESC, 1, 2 LIMIT ?`, queue.FailuresWindow)

// Failures groups the rows that have FAILED since then.
func (s *Store) Failures(ctx context.Context, since time.Time, limit int) (groups []queue.FailureGroup, err error) {
	err = s.read(ctx, "group failed tasks", func(conn querier) error {
		groups = nil
		return each(ctx, conn, func(scan func(...any) error) error {
			var g queue.FailureGroup
			err := scan(&g.Task, &g.Group, &g.Count, at(&g.Last), &g.Error)
			groups = append(groups, g)
			return err
		}, failuresQuery, micros(since), limit)
	})
	return groups, err
}

// Touch records that the event of this name happened now.
func (s *Store) Touch(ctx context.Context, name string) error {
	if s.dialect.touch != "" {
		repeat := false // another transaction was in the way
		err := s.on(ctx, s.writer, "touch", func(conn *sql.Conn) error {
			_, err := conn.ExecContext(ctx, s.dialect.touch, name)
			repeat = err != nil && s.backend.MayRepeat(err)
			return err
		})
		if !repeat {
			return err
		}
	}
	return s.write(ctx, "touch", func(ctx context.Context, tx querier, now time.Time) error {
		const find = `SELECT name FROM claimcheck_marks WHERE name = ?`
		free, err := lockedIDs(ctx, tx, find, name)
		if err != nil {
			return err
		}
		if len(free) == 0 {
			// A mark that another transaction has locked is left as it is: usually
			// that transaction is another Touch.
			var there string
			err := tx.QueryRowContext(ctx, find, name).Scan(&there)
			if !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		return put(ctx, tx, statement{`UPDATE claimcheck_marks SET at = ? WHERE name = ?`, []any{micros(now), name}},
			statement{`INSERT INTO claimcheck_marks (name, at) VALUES (?, ?)`, []any{name, micros(now)}})
	})
}

// put changes a row, or inserts it.
func put(ctx context.Context, tx querier, update, insert statement) error {
	result, err := tx.ExecContext(ctx, update.text, update.args...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return putNew(ctx, tx, insert)
}

// putNew inserts a row, unless it exists.
func putNew(ctx context.Context, tx querier, insert statement) error {
	_, err := tx.ExecContext(ctx, insert.text, insert.args...)
	if err != nil && tx.store.backend.Duplicate(err) {
		return nil // another transaction has inserted it in the meantime
	}
	return err
}

// Touched returns when each mark was last made.
func (s *Store) Touched(ctx context.Context) (marks map[string]time.Time, err error) {
	err = s.read(ctx, "read marks", func(conn querier) error {
		marks = make(map[string]time.Time)
		return each(ctx, conn, func(scan func(...any) error) error {
			var name string
			var when time.Time
			err := scan(&name, at(&when))
			marks[name] = when
			return err
		}, `SELECT name, at FROM claimcheck_marks`)
	})
	return marks, err
}

// RecordAudit stores an entry of the audit log.
func (s *Store) RecordAudit(ctx context.Context, e queue.AuditEntry) (when time.Time, err error) {
	err = s.write(ctx, "write the audit log", func(ctx context.Context, tx querier, now time.Time) error {
		err := put(ctx, tx, statement{`UPDATE claimcheck_audit SET done = ?, failed = ?, ended = ? WHERE id = ?`, []any{e.Done, e.Failed, e.Ended, e.ID}},
			statement{`INSERT INTO claimcheck_audit (id, at, actor, action, task_id, target, done, failed, ended) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				[]any{e.ID, micros(now), e.Actor, e.Action, nonZero(e.Task), e.Target, e.Done, e.Failed, e.Ended}})
		if err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT at FROM claimcheck_audit WHERE id = ?`, e.ID).Scan(at(&when))
	})
	return when, err
}

// notesQuery: index: claimcheck_audit_at, or _task, from its end.
func notesQuery(task uuid.UUID, before time.Time, limit int) statement {
	var q statement
	q.add(`SELECT id, at, actor, action, task_id, target, done, failed, ended FROM claimcheck_audit WHERE 1 = 1`)
	if task != uuid.Nil {
		q.add(` AND task_id = ?`, task)
	}
	if !before.IsZero() {
		q.add(` AND at < ?`, micros(before))
	}
	q.add(` ORDER BY at DESC LIMIT ?`, limit)
	return q
}

// readAuditQuery: index: claimcheck_audit_at, from its end. SQLite sorts the entries of one
// moment.
func readAuditQuery(r queue.AuditRequest) (q statement, err error) {
	q.add(`SELECT id, at, actor, action, task_id, target, done, failed, ended FROM claimcheck_audit WHERE 1 = 1`)
	if !r.Since.IsZero() {
		q.add(` AND at >= ?`, micros(r.Since))
	}
	if !r.Until.IsZero() {
		q.add(` AND at < ?`, micros(r.Until))
	}
	if r.After != "" {
		after, err := queue.ParseCursor(r.After)
		if err != nil {
			return q, err
		}
		q.add(` AND at <= ? AND (at < ? OR id < ?)`, micros(after.At), micros(after.At), after.ID)
	}
	q.add(` ORDER BY at DESC, id DESC LIMIT ?`, r.Limit+1)
	return q, nil
}

var _ queue.AuditReader = (*Store)(nil)

// ReadAudit returns a page of the audit log.
func (s *Store) ReadAudit(ctx context.Context, r queue.AuditRequest) (queue.AuditPage, error) {
	q, err := readAuditQuery(r)
	if err != nil {
		return queue.AuditPage{}, err
	}
	entries, err := s.auditEntries(ctx, q)
	return storekit.AuditPage(entries, r.Limit), err
}

// AuditLog returns the latest entries of the audit log.
func (s *Store) AuditLog(ctx context.Context, task uuid.UUID, before time.Time, limit int) ([]queue.AuditEntry, error) {
	return s.auditEntries(ctx, notesQuery(task, before, limit))
}

func (s *Store) auditEntries(ctx context.Context, q statement) (entries []queue.AuditEntry, err error) {
	err = s.read(ctx, "read the audit log", func(conn querier) error {
		entries = nil
		return each(ctx, conn, func(scan func(...any) error) error {
			var e queue.AuditEntry
			err := scan(&e.ID, at(&e.At), &e.Actor, &e.Action, &e.Task, &e.Target, &e.Done, &e.Failed, &e.Ended)
			entries = append(entries, e)
			return err
		}, q.text, q.args...)
	})
	return entries, err
}
