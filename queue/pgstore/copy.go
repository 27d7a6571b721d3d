package pgstore

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/claimcheck-go/claimcheck/queue"
)

// copyFrom is from how many rows on COPY is cheaper than an INSERT, in spite of
// its further round trip.
const copyFrom = 100

// errNotCopied says that rows must be inserted the general way.
var errNotCopied = errors.New("an ID exists, or COPY is not allowed")

var copyColumns = []string{
	"id", "task_path", "queue_name", "backend_name", "priority", "status", "hold", "args",
	"run_after", "enqueued_at", "max_attempts", "timeout_ms", "dispatch_due_at", "trace_context",
}

// allFresh reports whether no row can be there already.
func allFresh(rows []*queue.NewRow) bool {
	for _, row := range rows {
		if !row.FreshID {
			return false
		}
	}
	return true
}

// insertCopy stores rows whose IDs are free, in one transaction. COPY evaluates
// no expressions, so the times come from the database's clock first.
func insertCopy(ctx context.Context, conn *pgx.Conn, rows []*queue.NewRow) ([]inserted, error) {
	stored := make([]inserted, len(rows))
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var now time.Time
		if err := tx.QueryRow(ctx, `SELECT now()`).Scan((*moment)(&now)); err != nil {
			return err
		}
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"claimcheck_tasks"}, copyColumns, pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
			t := timesAt(now, rows[i])
			stored[i].row = t.row(rows[i])
			return copyValues(stored[i].row), nil
		}))
		return err
	})
	if isCode(err, "23505") || isCode(err, "0A000") { // unique violation; row-level security
		return nil, errNotCopied
	}
	return stored, err
}

// timesAt says of a new row what insertFrom says in SQL.
func timesAt(now time.Time, row *queue.NewRow) times {
	t := times{enqueuedAt: now, runAfter: row.RunAfter.UTC()}
	if delay := delayMicros(row); row.RunAfter.IsZero() && delay > 0 {
		t.runAfter = now.Add(time.Duration(delay) * time.Microsecond)
	}
	switch {
	case row.Armed && t.runAfter.After(now):
		t.dispatchDueAt = t.runAfter.Add(queue.DispatchGrace)
	case row.Armed:
		t.dispatchDueAt = now.Add(queue.DispatchGrace)
	case t.runAfter.Add(-queue.ArmWithin).After(now):
		t.dispatchDueAt = t.runAfter.Add(-queue.ArmWithin)
	default:
		t.dispatchDueAt = now
	}
	return t
}

// copyValues are the values of copyColumns.
func copyValues(row *queue.Row) []any {
	hold := 0
	if row.RunAfter.After(row.EnqueuedAt) {
		hold = 1
	}
	var timeout *int64
	if millis := row.Timeout.Milliseconds(); millis > 0 {
		timeout = &millis
	}
	return []any{
		uuidValue(row.ID), row.Task, row.Queue, row.Backend, row.Priority, string(row.Status), hold, []byte(row.Args),
		timeValue(row.RunAfter), row.EnqueuedAt, row.MaxAttempts, timeout, row.DispatchDueAt, pgtype.Text{String: row.TraceContext, Valid: row.TraceContext != ""},
	}
}
