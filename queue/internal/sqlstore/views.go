package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

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
