package pgstore

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
)

// copyThreshold is the number of rows from which COPY is cheaper than INSERT.
const copyThreshold = 20

// errNotCopied means that the rows must be inserted with INSERT.
var errNotCopied = errors.New("an ID exists, or COPY is not allowed")

// copyable reports whether no row can exist already, and all have a binary form and
// nothing that only some rows have. INSERT stores any other, or reports what is wrong
// with it.
func copyable(rows []*queue.NewRow) bool {
	for _, row := range rows {
		fits := row.Priority == int(int16(row.Priority)) && row.MaxAttempts == int(int32(row.MaxAttempts)) && len(row.Args) <= math.MaxInt32 //nolint:gosec // that is the question
		if !row.FreshID || row.ID == uuid.Nil || !fits || row.HasExtras() {
			return false
		}
	}
	return true
}

// insertCopy stores rows whose IDs do not exist, in one transaction, and writes the
// stored rows to the caller's.
func insertCopy(ctx context.Context, conn *pgx.Conn, rows []*queue.NewRow) error {
	now, err := beginAt(ctx, conn)
	if err == nil {
		err = copyAndCommit(ctx, conn, newCopyStream(now, rows))
	}
	if err != nil && !conn.IsClosed() {
		_, _ = conn.Exec(ctx, `ROLLBACK`) // if that fails too, the pool closes the connection
	}
	if isCode(err, pgerrcode.UniqueViolation) || isCode(err, pgerrcode.FeatureNotSupported) { // row-level security
		return errNotCopied
	}
	if err != nil {
		return err
	}
	for _, row := range rows {
		t := timesAt(now, row)
		*row.Row, row.Existed = t.added(row.Row), false
	}
	return nil
}

// beginAt begins a transaction and reads its time in one round trip: COPY evaluates no
// expressions.
func beginAt(ctx context.Context, conn *pgx.Conn) (now time.Time, err error) {
	batch := &pgx.Batch{}
	batch.Queue(`BEGIN ISOLATION LEVEL READ COMMITTED`)
	batch.Queue(`SELECT now()`).QueryRow(func(row pgx.Row) error { return row.Scan((*moment)(&now)) })
	err = conn.SendBatch(ctx, batch).Close()
	return now, err
}

// copyAndCommit copies and commits in one round trip. The server does not execute the
// COMMIT if the COPY has failed.
func copyAndCommit(ctx context.Context, conn *pgx.Conn, stream *copyStream) error {
	defer stream.stop()
	done, err := conn.PgConn().CopyFrom(ctx, stream, copyStatement+`; COMMIT`)
	if err == nil && done.String() != "COMMIT" {
		err = pgx.ErrTxCommitRollback
	}
	return err
}

// timesAt computes for a new row what insertFrom computes in SQL.
func timesAt(now time.Time, row *queue.NewRow) times {
	t := times{enqueuedAt: now, runAfter: row.RunAfter.UTC()}
	if delay := delayMicros(row); row.RunAfter.IsZero() && delay > 0 {
		t.runAfter = now.Add(time.Duration(delay) * time.Microsecond)
	}
	switch {
	case row.WillDispatch && t.runAfter.After(now):
		t.dispatchDueAt = t.runAfter.Add(queue.DispatchGrace)
	case row.WillDispatch:
		t.dispatchDueAt = now.Add(queue.DispatchGrace)
	case t.runAfter.Add(-queue.ArmWithin).After(now):
		t.dispatchDueAt = t.runAfter.Add(-queue.ArmWithin)
	default:
		t.dispatchDueAt = now
	}
	return t
}
