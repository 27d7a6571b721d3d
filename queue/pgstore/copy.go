package pgstore

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
)

// copyFrom is from how many rows on COPY is cheaper than an INSERT, in spite of
// its further round trip.
const copyFrom = 100

// errNotCopied says that rows must be inserted the general way.
var errNotCopied = errors.New("an ID exists, or COPY is not allowed")

// copyable reports whether no row can be there already, and all have a binary
// form; what is wrong with any other is found out the general way.
func copyable(rows []*queue.NewRow) bool {
	for _, row := range rows {
		if !row.FreshID || row.ID == uuid.Nil || row.Priority != int(int16(row.Priority)) || row.MaxAttempts != int(int32(row.MaxAttempts)) || len(row.Args) > math.MaxInt32 { //nolint:gosec // that is the question
			return false
		}
	}
	return true
}

// insertCopy stores rows whose IDs are free, in one transaction, and makes them
// what the database has. COPY evaluates no expressions, so the times come from
// the database's clock first.
func insertCopy(ctx context.Context, conn *pgx.Conn, rows []*queue.NewRow) error {
	var now time.Time
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT now()`).Scan((*moment)(&now)); err != nil {
			return err
		}
		stream := newCopyStream(now, rows)
		defer stream.stop()
		_, err := conn.PgConn().CopyFrom(ctx, stream, copyStatement)
		return err
	})
	if isCode(err, "23505") || isCode(err, "0A000") { // unique violation; row-level security
		return errNotCopied
	}
	if err != nil {
		return err
	}
	for _, row := range rows {
		t := timesAt(now, row)
		*row.Row = t.added(row.Row)
	}
	return nil
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
