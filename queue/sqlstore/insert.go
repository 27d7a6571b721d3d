package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Insert stores rows in one transaction: all of them, or none.
func (s *Store) Insert(ctx context.Context, rows ...*queue.NewRow) error {
	if len(rows) == 0 {
		return nil
	}
	var stored []inserted
	err := s.write(ctx, "insert tasks", func(ctx context.Context, tx querier, now time.Time) (err error) {
		stored, err = insert(ctx, tx, now, rows)
		return err
	})
	if err != nil {
		return err
	}
	for i, row := range rows {
		*row.Row, row.Existed = *stored[i].row, stored[i].existed
	}
	return nil
}

// inserted is a row as the database has it now.
type inserted struct {
	row     *queue.Row
	existed bool
}

// insert stores rows within the caller's transaction, which must be rolled
// back if it fails. It leaves rows as they are.
func insert(ctx context.Context, tx querier, now time.Time, rows []*queue.NewRow) ([]inserted, error) {
	result := make([]inserted, len(rows))
	for i, row := range rows {
		fresh := newRow(row, now)
		isNew, err := insertOne(ctx, tx, fresh, now)
		if err != nil {
			return nil, err
		}
		if isNew {
			result[i].row = fresh
			continue
		}
		old, err := load(ctx, tx, row.ID)
		if err != nil {
			return nil, err
		}
		if !queue.SameRequest(old, row.Row) {
			return nil, fmt.Errorf("insert task %s: %w", row.ID, queue.ErrIDConflict)
		}
		result[i] = inserted{old, true}
	}
	return result, nil
}

// newRow is the row that a request becomes at the database's time now.
func newRow(request *queue.NewRow, now time.Time) *queue.Row {
	row := &queue.Row{
		ID: request.ID, Status: queue.StatusReady,
		Task: request.Task, Queue: request.Queue, Backend: request.Backend, Priority: request.Priority,
		Args: request.Args, Timeout: (request.Timeout + time.Millisecond - 1).Truncate(time.Millisecond), MaxAttempts: request.MaxAttempts,
		EnqueuedAt: now, RunAfter: hardTime(now, request.RunAfter, request.Delay),
	}
	row.DispatchDueAt = parkedUntil(row, now)
	if request.Armed {
		row.DispatchDueAt = later(now, row.RunAfter).Add(queue.DispatchGrace)
	}
	return row
}

// hardTime is an absolute time, or else one that lies some time from now, or
// else zero.
func hardTime(now, absolute time.Time, in time.Duration) time.Time {
	if absolute.IsZero() && in > 0 {
		absolute = now.Add(in)
	}
	return absolute.UTC().Truncate(time.Microsecond)
}

// parkedUntil is when the sweeper dispatches a row that nobody else does.
func parkedUntil(row *queue.Row, now time.Time) time.Time {
	return later(now, row.RunAfter.Add(-queue.ArmWithin))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func insertOne(ctx context.Context, tx querier, row *queue.Row, now time.Time) (isNew bool, err error) {
	state, err := stateValues(row, now)
	if err != nil {
		return false, err
	}
	values := append(requestValues(row), state...)
	// Index: the primary key.
	result, err := tx.ExecContext(ctx, `INSERT INTO claimcheck_tasks (`+columns+`) VALUES (`+marks(len(values))+`) ON CONFLICT (id) DO NOTHING`, values...)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n == 1, err
}
