package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// dispatchFailedQuery: index: the primary key.
const dispatchFailedQuery = `UPDATE claimcheck_tasks SET dispatch_error = ?, dispatch_due_at = ?,
	dispatch_tries = CASE WHEN dispatch_tries > 0 THEN dispatch_tries - 1 ELSE 0 END
	WHERE id = ? AND status = 'READY'`

// DispatchFailed notes on READY rows that creating their Cloud Tasks failed.
func (s *Store) DispatchFailed(ctx context.Context, reason string, ids ...uuid.UUID) error {
	return s.write(ctx, "note failed dispatch", func(ctx context.Context, tx querier, now time.Time) error {
		for _, id := range ids {
			if _, err := tx.ExecContext(ctx, dispatchFailedQuery, reason, micros(now), id); err != nil {
				return err
			}
		}
		return nil
	})
}

// nextQueue finds the first queue after another that has READY rows.
// strandedSince is when the first row of a queue became stranded, and stranded
// are the first rows that were so by a time. Index of all three:
// claimcheck_tasks_outbox, the first entry of the queue, or as many as are asked
// for, in its order.
func (d *dialect) nextQueue() string {
	return d.outbox(`queue_name`) + ` AND queue_name > ? ORDER BY queue_name LIMIT 1`
}

func (d *dialect) strandedSince() string {
	return d.outbox(d.dispatchDue) + ` AND queue_name = ? ORDER BY ` + d.dispatchDue + ` LIMIT 1`
}

func (d *dialect) stranded() string {
	return d.outbox(columns) + ` AND queue_name = ? AND ` + d.dispatchDue + ` <= ? AND (run_after IS NULL OR run_after <= ?)
		ORDER BY ` + d.dispatchDue + ` LIMIT ?`
}

func (d *dialect) outbox(what string) string {
	return `SELECT ` + what + ` FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_outbox") + ` WHERE ` + d.readyOf
}

// StrandedQueues returns the queues of a backend that have stranded rows.
func (s *Store) StrandedQueues(ctx context.Context, backend string) (queues []queue.StrandedQueue, err error) {
	err = s.read(ctx, "look for stranded tasks", func(conn querier) error {
		queues = nil
		now, err := conn.now(ctx)
		for name := ""; err == nil; {
			if err = conn.QueryRowContext(ctx, s.dialect.nextQueue(), backend, name).Scan(&name); err != nil {
				break
			}
			var since time.Time
			err = conn.QueryRowContext(ctx, s.dialect.strandedSince(), backend, name).Scan(at(&since))
			if err == nil && !since.After(now) {
				queues = append(queues, queue.StrandedQueue{Backend: backend, Queue: name, At: now})
			}
			if errors.Is(err, sql.ErrNoRows) {
				err = nil // claimed between the two
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
	err = s.write(ctx, "take stranded tasks", func(ctx context.Context, tx querier, now time.Time) error {
		rows, err = list(ctx, tx, s.dialect.stranded(), q.Backend, q.Queue, micros(q.At), micros(now.Add(queue.ArmWithin)), limit)
		if err != nil {
			return err
		}
		for _, row := range rows {
			row.DispatchDueAt = later(now, row.RunAfter).Add(queue.StrandedPause(row.DispatchTries))
			row.DispatchTries++
			if err := save(ctx, tx, row, now); err != nil {
				return err
			}
		}
		return nil
	})
	return rows, err
}
