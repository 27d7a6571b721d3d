package pgstore

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// Touch skips a name that another transaction has locked, which usually is another
// Touch.
const (
	touchQuery    = `UPDATE claimcheck_marks SET at = now() WHERE name = (SELECT name FROM claimcheck_marks WHERE name = $1::text FOR UPDATE SKIP LOCKED)`
	newTouchQuery = `INSERT INTO claimcheck_marks (name, at) VALUES ($1::text, now()) ON CONFLICT (name) DO NOTHING`
)

// Touch records the current time under a name.
func (s *Store) Touch(ctx context.Context, name string) error {
	return s.on(ctx, "touch", func(conn *pgx.Conn) error {
		n, err := count(conn.Exec(ctx, touchQuery, name))
		if err == nil && n == 0 {
			_, err = conn.Exec(ctx, newTouchQuery, name)
		}
		return err
	})
}

// Touched returns the time of the last Touch of each name.
func (s *Store) Touched(ctx context.Context) (times map[string]time.Time, err error) {
	err = s.on(ctx, "read marks", func(conn *pgx.Conn) error {
		times = make(map[string]time.Time)
		result, err := conn.Query(ctx, `SELECT name, at FROM claimcheck_marks`)
		if err != nil {
			return err
		}
		var name string
		var at time.Time
		_, err = pgx.ForEachRow(result, []any{&name, (*moment)(&at)}, func() error {
			times[name] = at
			return nil
		})
		return err
	})
	return times, err
}

// auditQuery: index: the primary key.
const auditQuery = `
INSERT INTO claimcheck_audit (id, at, actor, action, task_id, target, done, failed, ended)
VALUES ($1::uuid, now(), $2::text, $3::text, $4::uuid, $5::text, $6::int8, $7::int8, $8::bool)
ON CONFLICT (id) DO UPDATE SET done = excluded.done, failed = excluded.failed, ended = excluded.ended
RETURNING at`

// RecordAudit stores an entry of the audit log, or updates the one with its ID.
func (s *Store) RecordAudit(ctx context.Context, e queue.AuditEntry) (at time.Time, err error) {
	err = s.on(ctx, "write the audit log", func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, auditQuery, uuidValue(e.ID), e.Actor, e.Action, uuidValue(e.Task), e.Target, e.Done, e.Failed, e.Ended).Scan((*moment)(&at))
	})
	return at, err
}

// auditLogQuery: index: claimcheck_audit_at, or _task, from its end.
func auditLogQuery(task uuid.UUID, before time.Time, limit int) statement {
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

// readAuditQuery: index: claimcheck_audit_at, from its end; entries of one moment are
// sorted.
func readAuditQuery(r queue.AuditRequest) (q statement, err error) {
	q.add(`SELECT id, at, actor, action, task_id, target, done, failed, ended FROM claimcheck_audit WHERE true`)
	if !r.Since.IsZero() {
		q.add(` AND at >= %s::timestamptz`, timeValue(r.Since))
	}
	if !r.Until.IsZero() {
		q.add(` AND at < %s::timestamptz`, timeValue(r.Until))
	}
	if r.After != "" {
		after, err := queue.ParseCursor(r.After)
		if err != nil {
			return q, err
		}
		q.add(` AND (at, id) < (%s::timestamptz, %s::uuid)`, timeValue(after.At), uuidValue(after.ID))
	}
	q.add(` ORDER BY at DESC, id DESC LIMIT %s::int8`, r.Limit+1)
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

// AuditLog returns the latest entries of the audit log, newest first.
func (s *Store) AuditLog(ctx context.Context, task uuid.UUID, before time.Time, limit int) ([]queue.AuditEntry, error) {
	return s.auditEntries(ctx, auditLogQuery(task, before, limit))
}

func (s *Store) auditEntries(ctx context.Context, q statement) (entries []queue.AuditEntry, err error) {
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
