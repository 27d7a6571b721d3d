package sqlstore

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// Insert stores rows in one transaction: all of them, or none.
func (s *Store) Insert(ctx context.Context, rows ...*queue.NewRow) error {
	if len(rows) == 0 {
		return nil
	}
	const op = "insert tasks"
	var stored []inserted
	var err error
	if s.insertsFast(rows) {
		stored, err = s.insertFast(ctx, rows)
	} else {
		err = storekit.RetryLocked(ctx, storekit.KeyPatience, func() error { // without a key and a group it is never locked
			return s.write(ctx, op, func(ctx context.Context, tx querier, now time.Time) (err error) {
				stored, err = insertGrouped(ctx, tx, now, rows)
				return err
			})
		})
		err = storekit.KeyContended(op, err)
	}
	if err != nil {
		return err
	}
	copyBack(rows, stored)
	return nil
}

// copyBack copies what was stored into the caller's rows.
func copyBack(rows []*queue.NewRow, stored []inserted) {
	for i, row := range rows {
		*row.Row, row.Existed = *stored[i].row, stored[i].existed
	}
}

// inserted is a row as the database has it now.
type inserted struct {
	row     *queue.Row
	existed bool
}

// insert stores rows that have no keys within the caller's transaction, which must be
// rolled back if it fails. It leaves rows as they are.
func insert(ctx context.Context, tx querier, now time.Time, rows []*queue.NewRow) ([]inserted, error) {
	result := make([]inserted, len(rows))
	for start := 0; start < len(rows); {
		n := batchLength(rows[start:], tx.store.dialect.batch)
		for i, row := range rows[start : start+n] {
			result[start+i].row = newRow(row, now)
		}
		if err := insertBatch(ctx, tx, now, rows[start:start+n], result[start:start+n]); err != nil {
			return nil, err
		}
		start += n
	}
	return result, nil
}

// batchBytes bounds the arguments that one INSERT of several rows carries: the
// smallest max_allowed_packet in use is 1 MiB.
const batchBytes = 256 << 10

// batchLength is how many of rows go into one INSERT.
func batchLength(rows []*queue.NewRow, limit int) int {
	size, n := 0, 0
	for n < min(len(rows), limit) && (n == 0 || size+len(rows[n].Args) <= batchBytes) {
		size += len(rows[n].Args)
		n++
	}
	return n
}

// insertBatch stores rows in one statement, or, if some of them exist, each in its
// own.
func insertBatch(ctx context.Context, tx querier, now time.Time, rows []*queue.NewRow, result []inserted) error {
	if len(rows) > 1 {
		if isNew, err := insertUnlessExists(ctx, tx, now, result); err != nil || isNew {
			return err
		}
	}
	for i, row := range rows {
		isNew, err := insertUnlessExists(ctx, tx, now, result[i:i+1])
		if err != nil {
			return err
		}
		if isNew {
			continue
		}
		old, err := loadExisting(ctx, tx, row.ID)
		if err != nil {
			return err
		}
		if !row.Matches(ctx, old) {
			return &queue.IDConflictError{ID: row.ID, Row: old}
		}
		result[i] = inserted{old, true}
	}
	return nil
}

// loadExisting reads a row that an insert met. It locks it only if it must, since the
// row will not be changed: a caller's transaction reads its snapshot, unless it locks.
func loadExisting(ctx context.Context, tx querier, id uuid.UUID) (*queue.Row, error) {
	row, err := loadBy(ctx, tx, loadQuery, id)
	if err == queue.ErrNotFound {
		row, err = load(ctx, tx, id)
	}
	return row, err
}

// newRow is the row that a request becomes at the database's time now.
func newRow(request *queue.NewRow, now time.Time) *queue.Row {
	row := &queue.Row{
		ID: request.ID, Status: queue.StatusReady,
		Task: request.Task, Queue: request.Queue, Backend: request.Backend, Priority: request.Priority,
		Args: request.Args, Timeout: (request.Timeout + time.Millisecond - 1).Truncate(time.Millisecond), MaxAttempts: request.MaxAttempts,
		EnqueuedAt: now, RunAfter: hardTime(now, request.RunAfter, request.Delay), TraceContext: request.TraceContext,
		UniqueKey: request.UniqueKey, UniqueScope: request.UniqueScope, UniqueUntil: hardTime(now, request.UniqueUntil, request.UniqueFor),
		Schedule: request.Schedule, ScheduledFor: hardTime(now, request.ScheduledFor, 0), LimitKey: request.LimitKey,
		ExpiresAt: hardTime(now, request.ExpiresAt, request.ExpiresIn), Keep: request.Keep, OnFailed: request.OnFailed,
		Group: request.Group, Completes: request.Completes, KeyID: request.KeyID,
	}
	row.DispatchDueAt = deferredUntil(row, now)
	if request.WillDispatch {
		row.DispatchDueAt = later(now, row.RunAfter).Add(queue.DispatchGrace)
	}
	return row
}

// hardTime is an absolute time, or else one that is some time from now, or
// else zero.
func hardTime(now, absolute time.Time, in time.Duration) time.Time {
	if absolute.IsZero() && in > 0 {
		absolute = now.Add(in)
	}
	return absolute.UTC().Truncate(time.Microsecond)
}

// deferredUntil is when the sweeper dispatches a row that its caller does not.
func deferredUntil(row *queue.Row, now time.Time) time.Time {
	return later(now, row.RunAfter.Add(-queue.ArmWithin))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// insertUnlessExists stores rows, or none of them and returns false if one exists.
func insertUnlessExists(ctx context.Context, tx querier, now time.Time, rows []inserted) (areNew bool, err error) {
	areNew, err = insertRows(ctx, tx, now, rows)
	if tx.store.backend.Duplicate(err) {
		return false, nil
	}
	return areNew, err
}

// insertRows stores rows, or none of them if one exists: then it returns false, or an
// error that backend.Duplicate knows.
func insertRows(ctx context.Context, tx querier, now time.Time, rows []inserted) (areNew bool, err error) {
	var values []any
	var tuples []string
	for _, r := range rows {
		state, err := stateValues(r.row, now)
		if err != nil {
			return false, err
		}
		before := len(values)
		values = append(append(values, requestValues(r.row)...), state...)
		tuples = append(tuples, `(`+marks(len(values)-before)+`)`)
	}
	// Index: the primary key.
	result, err := tx.ExecContext(ctx, `INSERT INTO claimcheck_tasks (`+newColumns+`) VALUES `+strings.Join(tuples, `, `)+tx.store.dialect.onDuplicate, values...)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n == int64(len(rows)), err
}
