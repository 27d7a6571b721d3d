package pgstore

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
)

// claimedColumns are the columns that a claim returns of a row, in the order of
// claimedFields: all but those whose values follow from setClaimed.
const claimedColumns = `id, task_path, queue_name, backend_name, priority, attempts, max_attempts,
	enqueued_at, run_after, started_at, last_attempted_at, return_value, errors, args, worker_ids, coalesce(timeout_ms, 0),
	interruptions, dispatch_due_at, coalesce(error_group, ''), coalesce(error_text, ''), coalesce(trace_context, ''),
	` + hasExtras

func (r *scanned) claimedFields() []any {
	return []any{
		(*id)(&r.ID), (*repeated)(&r.Task), (*repeated)(&r.Queue), (*repeated)(&r.Backend), &r.Priority, &r.Attempts, &r.MaxAttempts,
		(*moment)(&r.EnqueuedAt), (*moment)(&r.RunAfter), (*moment)(&r.StartedAt), (*moment)(&r.LastAttemptedAt),
		(*[]byte)(&r.ReturnValue), &r.history, (*[]byte)(&r.Args), &r.workers, &r.timeout,
		&r.Interruptions, (*moment)(&r.DispatchDueAt), &r.ErrorGroup, &r.ErrorText, &r.TraceContext, &r.more,
	}
}

// claimed returns the row that was read, which a claim has just given to a worker.
func (r *scanned) claimed(claimID uuid.UUID, lease time.Duration) *queue.Row {
	row := r.row()
	row.Status, row.ClaimID = queue.StatusRunning, claimID
	row.LeaseExpiresAt = row.LastAttemptedAt.Add(lease.Truncate(time.Microsecond)) // the last digit of an interval
	return row
}

// eachClaimed reads the rows that a claim returns. first receive the columns before
// those of the row, and read returns the row.
func eachClaimed(ctx context.Context, conn *pgx.Conn, result pgx.Rows, err error, read func(r *scanned) *queue.Row, first ...any) error {
	if err != nil {
		return err
	}
	more, err := scanClaimed(result, read, first...)
	if err != nil {
		return err
	}
	return loadClaimedExtras(ctx, conn, more)
}

// claimedError is the error of a call that has claimed rows before it failed. The claims
// are made, unless an explicit transaction was rolled back.
type claimedError struct{ error }

func (e *claimedError) Unwrap() error { return e.error }

// hasClaimed reports whether the call that ended with err may have claimed rows before.
func hasClaimed(err error) bool {
	var claimed *claimedError
	return errors.As(err, &claimed)
}

// loadClaimedExtras is loadExtras of rows that have just been claimed.
func loadClaimedExtras(ctx context.Context, conn *pgx.Conn, rows []*queue.Row) error {
	if err := loadExtras(ctx, conn, rows); err != nil {
		return &claimedError{err}
	}
	return nil
}

// scanClaimed is eachClaimed, and returns the rows whose extras are to be loaded.
func scanClaimed(result pgx.Rows, read func(r *scanned) *queue.Row, first ...any) (more []*queue.Row, err error) {
	var r scanned
	_, err = pgx.ForEachRow(result, append(first, r.claimedFields()...), func() error {
		if row := read(&r); r.more {
			more = append(more, row)
		}
		return nil
	})
	return more, err
}
