// Package demodata fills a SQLite database with tasks as a busy shop would have
// them on a bad night: for the pages' tests, and for trying the pages out. It
// writes the table itself, since no API makes a task that failed yesterday.
package demodata

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Registry knows the names that the data has, all but reports.legacy_export.
// Each does nothing, for a moment.
func Registry() *queue.Registry {
	nothing := func(ctx context.Context, in json.RawMessage) (json.RawMessage, error) {
		select {
		case <-time.After(20 * time.Millisecond):
			return in, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return queue.NewRegistry(
		queue.NewTask("emails.send_welcome", nothing, queue.OnQueue("emails"), queue.Priority(10), queue.MaxAttempts(8)),
		queue.NewTask("emails.send_receipt", nothing, queue.OnQueue("emails"), queue.MaxAttempts(5), queue.Alias("emails.receipt")),
		queue.NewTask("billing.charge_card", func(_ context.Context, in ChargeArgs) (ChargeArgs, error) { return in, nil },
			queue.OnQueue("billing"), queue.Priority(50), queue.MaxAttempts(3), queue.Timeout(30*time.Second)),
		queue.NewTask("webhook.deliver", nothing, queue.OnQueue("webhooks"), queue.MaxAttempts(8), queue.Timeout(30*time.Second)),
		queue.NewTask("reports.render_pdf", nothing, queue.OnQueue("reports"), queue.MaxAttempts(2), queue.Timeout(5*time.Minute)),
		queue.NewTask("search.reindex", nothing, queue.Priority(-20)),
		queue.NewTask("media.transcode", nothing, queue.OnQueue("media"), queue.MaxAttempts(4), queue.Timeout(9*time.Minute)),
		queue.Declare[json.RawMessage, json.RawMessage]("crm.sync_contact", queue.OnQueue("partner")),
	)
}

// ChargeArgs are the arguments of billing.charge_card.
type ChargeArgs struct {
	Order  json.Number `json:"order"`
	Cents  int         `json:"cents"`
	Method string      `json:"method"`
}

// data is what is being written.
type data struct {
	ctx context.Context
	tx  *sql.Tx
	now time.Time
	n   int // rows so far, so that each ID and each time is another
}

// Fill writes successful tasks that ended in the last day, as many as are asked
// for, and a bad night: the failures, and what is stuck.
func Fill(ctx context.Context, db *sql.DB, now time.Time, successful int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing is left after a commit
	d := &data{ctx: ctx, tx: tx, now: now.UTC()}
	for _, step := range []func() error{func() error { return d.successes(successful) }, d.failures, d.live, d.marks} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `ANALYZE`)
	return err
}

// successes are made by the database itself: there may be many.
func (d *data) successes(n int) error {
	_, err := d.tx.ExecContext(d.ctx, `
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1),
ended(i, at) AS (SELECT i, ?2 - abs((i * 2654435761) % (3600000 * (6 + i % 19))) * 1000 FROM n)
INSERT INTO claimcheck_tasks (id, task_path, queue_name, backend_name, priority, args, enqueued_at, status, hold, attempts, max_attempts,
	started_at, last_attempted_at, finished_at, return_value, worker_ids, dispatch_due_at)
SELECT printf('%08x-%04x-7%03x-8%03x-%012x', (at / 1000) >> 16, (at / 1000) & 65535, i & 4095, (i >> 12) & 4095, i * 48271),
	CASE i % 10 WHEN 0 THEN 'billing.charge_card' WHEN 1 THEN 'search.reindex' WHEN 2 THEN 'media.transcode' WHEN 3 THEN 'reports.render_pdf'
		WHEN 4 THEN 'webhook.deliver' WHEN 5 THEN 'webhook.deliver' WHEN 6 THEN 'webhook.deliver' WHEN 7 THEN 'emails.send_receipt' ELSE 'emails.send_welcome' END,
	CASE i % 10 WHEN 0 THEN 'billing' WHEN 1 THEN 'default' WHEN 2 THEN 'media' WHEN 3 THEN 'reports' WHEN 4 THEN 'webhooks' WHEN 5 THEN 'webhooks' WHEN 6 THEN 'webhooks' ELSE 'emails' END,
	'default', 0, '{"user_id":' || (1000 + i) || '}', at - 2000000, 'SUCCESSFUL', 0, 1 + (i % 37 = 0), 8,
	at - 900000, at - 400000 - i % 300000, at, '{"ok":true}', '["web-00042-k7d/' || (1 + i % 6) || '"]', at FROM ended`, n, d.now.UnixMicro())
	return err
}

// task is one row to be written, with what differs from the usual.
func (d *data) task(name, queueName string, args string, change func(*queue.Row)) error {
	d.n++
	at := d.now.Add(-time.Duration(d.n%240) * time.Second)
	row := &queue.Row{
		ID: idAt(at, d.n), Task: name, Queue: queueName, Backend: "default", Args: json.RawMessage(args), MaxAttempts: 8,
		Status: queue.StatusReady, EnqueuedAt: at, DispatchDueAt: at.Add(queue.DispatchGrace),
	}
	change(row)
	return d.put(row)
}

// idAt is the UUIDv7 of a time and a number.
func idAt(at time.Time, n int) uuid.UUID {
	ms := uint64(at.UnixMilli()) // after 1970
	return uuid.MustParse(fmt.Sprintf("%08x-%04x-7%03x-9%03x-%012x", ms>>16, ms&0xffff, n&0xfff, (n>>12)&0xfff, (n*2862933)&0xffffffffffff))
}

func (d *data) put(row *queue.Row) error {
	history, err := json.Marshal(row.Errors)
	if err != nil {
		return err
	}
	workers, err := json.Marshal(append([]string{}, row.WorkerIDs...))
	if err != nil {
		return err
	}
	hold := 0
	if row.RunAfter.After(d.now) || row.RetryAt.After(d.now) {
		hold = 1
	}
	var group, text, errors any
	if len(row.Errors) > 0 {
		group, text = queue.LastError(row.Errors)
		errors = string(history)
	}
	var dispatchError any
	if row.DispatchError != "" {
		dispatchError = row.DispatchError
	}
	_, err = d.tx.ExecContext(d.ctx, `INSERT INTO claimcheck_tasks (id, task_path, queue_name, backend_name, priority, args, enqueued_at,
	status, hold, attempts, max_attempts, run_after, retry_at, started_at, last_attempted_at, finished_at, errors, error_group, error_text,
	worker_ids, dispatch_error, dispatch_due_at, dispatch_tries, lease_expires_at)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		row.ID.String(), row.Task, row.Queue, row.Backend, row.Priority, string(row.Args), row.EnqueuedAt.UnixMicro(),
		string(row.Status), hold, row.Attempts, row.MaxAttempts, micros(row.RunAfter), micros(row.RetryAt), micros(row.StartedAt),
		micros(row.LastAttemptedAt), micros(row.FinishedAt), errors, group, text, string(workers), dispatchError,
		row.DispatchDueAt.UnixMicro(), row.DispatchTries, micros(row.LeaseExpiresAt))
	return err
}

// micros is a time as the table has it; zero is NULL.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}
