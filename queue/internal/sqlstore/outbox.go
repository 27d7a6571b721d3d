package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// readyQuery finds those of n rows that are READY. Index: the primary key.
func (d *Dialect) readyQuery(n int) string {
	return `SELECT id FROM claimcheck_tasks` + d.byID + ` WHERE id IN (` + marks(n) + `) AND status = 'READY'`
}

// setRefused makes rows due for the sweeper; a parked one as soon as its queue is resumed.
var setRefused = `dispatch_error = ?, dispatch_due_at = ? + CASE WHEN hold = ` + strconv.Itoa(storekit.HoldParked) + ` THEN ` + strconv.FormatInt(storekit.ParkMicros, 10) + ` ELSE 0 END, dispatch_tries = CASE WHEN dispatch_tries > 0 AND ? THEN dispatch_tries - 1 ELSE dispatch_tries END`

// DispatchFailed notes on READY rows that creating their Cloud Tasks failed.
func (s *Store) DispatchFailed(ctx context.Context, reason string, swept bool, ids ...uuid.UUID) error {
	return s.write(ctx, "note failed dispatch", func(ctx context.Context, tx querier, now time.Time) error {
		return inChunks(ids, func(some []uuid.UUID) error {
			free, err := lockedIDs(ctx, tx, s.dialect.readyQuery(len(some)), anys(some)...)
			if err != nil || len(free) == 0 {
				return err
			}
			return update(ctx, tx, free, setRefused, reason, micros(now), swept)
		})
	})
}

// nextQueue finds the first queue after another that has READY rows, and when
// its first row became, or becomes, stranded, and whether the queue is paused. stranded are the first rows of a
// queue that were so by a time. Index of both: claimcheck_tasks_outbox, the first
// entry of the queue, or as many as are asked for, in its order.
func (d *Dialect) nextQueue() string {
	return d.outbox(`queue_name, `+d.dispatchDue+`, queue_name IN `+pausedQueues) + ` AND queue_name > ? ORDER BY queue_name, ` + d.dispatchDue + ` LIMIT 1`
}

func (d *Dialect) stranded() string {
	return d.outbox(lightColumns) + ` AND queue_name = ? AND ` + d.dispatchDue + ` <= ? AND (run_after IS NULL OR run_after <= ?)
		ORDER BY ` + d.dispatchDue + ` LIMIT ?`
}

func (d *Dialect) outbox(what string) string {
	return `SELECT ` + what + ` FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_outbox") + ` WHERE ` + d.readyOf
}

// StrandedQueues returns the queues of a backend that have stranded rows, one
// statement a queue: a single one would read every entry of the index unless the
// planner knows loose index scans.
func (s *Store) StrandedQueues(ctx context.Context, backend string) (queues []queue.StrandedQueue, err error) {
	err = s.read(ctx, "find stranded tasks", func(conn querier) error {
		queues = nil
		now, err := conn.now(ctx)
		for name := ""; err == nil; {
			var since time.Time
			var paused bool
			err = conn.QueryRowContext(ctx, s.dialect.nextQueue(), backend, name).Scan(&name, at(&since), &paused)
			if err == nil && !paused && !since.After(now) {
				queues = append(queues, queue.StrandedQueue{Backend: backend, Queue: name, At: now})
			}
		}
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return queues, err
}

// TakeStranded takes up to limit stranded rows of a queue for dispatching.
func (s *Store) TakeStranded(ctx context.Context, q queue.StrandedQueue, limit int) (rows []*queue.Row, err error) {
	err = s.transaction(ctx, "take stranded tasks", func(ctx context.Context, tx querier) error {
		now, closed, err := tx.gated(ctx)
		if rows = nil; err != nil || closed.isPaused(q.Queue) {
			return err
		}
		rows, err = list(ctx, tx, s.dialect.stranded(), q.Backend, q.Queue, micros(q.At), micros(now.Add(queue.ArmWithin)), limit)
		if err != nil {
			return err
		}
		return inChunks(rows, func(some []*queue.Row) error {
			var ids, due []any
			for _, row := range some {
				row.DispatchDueAt = later(now, row.RunAfter).Add(queue.StrandedPause(row.DispatchTries))
				row.DispatchTries++
				row.DispatchError = ""
				ids, due = append(ids, row.ID), append(due, row.ID, micros(row.DispatchDueAt))
			}
			return update(ctx, tx, ids, setTaken(len(some)), due...)
		})
	})
	return rows, err
}

// setTaken counts that n rows are dispatched again, and sets when each is stranded
// next. It clears the error of the previous dispatch, which DispatchFailed stores
// again if this one fails too.
func setTaken(n int) string {
	return `dispatch_tries = dispatch_tries + 1, dispatch_error = NULL, dispatch_due_at = ` + byRow(n)
}
