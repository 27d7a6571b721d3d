// Package demodata fills a database with tasks as a busy shop would have them on a bad
// night: for the pages' tests, and for trying the pages out. It writes the table itself,
// since no API makes a task that failed yesterday.
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
	UserID int         `json:"user_id,omitempty"`
}

// Night says how many rows there are.
type Night struct {
	Successful int // tasks that succeeded in the last day
	Failed     int // further deliveries that failed in the last day, as one kind of failure
}

// data is what is being written.
type data struct {
	*writer
	now time.Time
	n   int // rows so far, so that each ID and each time is another

	users int // how many the shop has
}

// Fill writes the tasks of a bad night in one transaction: successful ones, the failures,
// and what is stuck. The store's tables must exist.
func Fill(ctx context.Context, db *sql.DB, dialect Dialect, now time.Time, night Night) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing is left after a commit
	d := &data{writer: &writer{ctx: ctx, tx: tx, dialect: dialect}, now: now.UTC().Truncate(time.Microsecond)}
	d.people(night)
	for _, step := range []func() error{
		func() error { return d.successes(night.Successful) }, func() error { return d.failures(night.Failed) }, d.live, d.flush, d.marks,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, dialect.analyze())
	return err
}

// kinds are the names and queues of ten successful tasks in turn.
var kinds = [10][2]string{
	{"billing.charge_card", "billing"}, {"search.reindex", "default"}, {"media.transcode", "media"}, {"reports.render_pdf", "reports"},
	{"webhook.deliver", "webhooks"}, {"webhook.deliver", "webhooks"}, {"webhook.deliver", "webhooks"}, {"emails.send_receipt", "emails"},
	{"emails.send_welcome", "emails"}, {"emails.send_welcome", "emails"},
}

// successes are spread over the last day, more in its last hours.
func (d *data) successes(n int) error {
	for i := 1; i <= n; i++ {
		period := int64(3_600_000 * (6 + i%19))
		end := d.now.Add(-time.Duration(int64(i)*2654435761%period) * time.Millisecond)
		row := &queue.Row{
			ID: idAt(end.Add(-2*time.Second), i), Task: kinds[i%10][0], Queue: kinds[i%10][1], Backend: "default",
			Args: json.RawMessage(d.argsOf(kinds[i%10][0], i)), ReturnValue: json.RawMessage(`{"ok":true}`),
			Status: queue.StatusSuccessful, Attempts: 1, MaxAttempts: 8, EnqueuedAt: end.Add(-2 * time.Second), StartedAt: end.Add(-900 * time.Millisecond),
			FinishedAt: end, WorkerIDs: []string{fmt.Sprintf("web-00042-k7d/%d", 1+i%6)}, DispatchDueAt: end,
		}
		if i%37 == 0 {
			row.Attempts = 2
		}
		row.LastAttemptedAt = end.Add(-time.Duration(400_000+i%300_000) * time.Microsecond)
		if err := d.put(row); err != nil {
			return err
		}
	}
	return nil
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
