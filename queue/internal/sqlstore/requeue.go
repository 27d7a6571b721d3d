package sqlstore

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// requeueBatch is how many rows are requeued under one write lock, which blocks all
// other writers.
const requeueBatch = 100

// Requeue recovers RUNNING rows whose worker is gone.
func (s *Store) Requeue(ctx context.Context, r queue.RequeueRequest) (done queue.RequeueResult, err error) {
	if r.DryRun {
		return s.abandoned(ctx, r)
	}
	for done.Ready+done.Failed < r.Limit {
		limit := min(requeueBatch, r.Limit-done.Ready-done.Failed)
		var batch queue.RequeueResult
		err := s.write(ctx, "requeue tasks", func(ctx context.Context, tx querier, now time.Time) (err error) {
			batch, err = requeueAll(ctx, tx, now, r, limit)
			return err
		})
		if err != nil {
			return done, err
		}
		done.Ready += batch.Ready
		done.Failed += batch.Failed
		if batch.Ready+batch.Failed < limit {
			break
		}
	}
	return done, nil
}

// abandonedRows are the rows that Requeue takes, until now. Index:
// claimcheck_tasks_lease.
func abandonedRows(r queue.RequeueRequest, now time.Time, limit int) (rows string, args []any) {
	filter, filterArgs := within(r.Filter)
	args = append([]any{micros(now), micros(now.Add(-r.OlderThan))}, filterArgs...)
	return ` FROM claimcheck_tasks
		WHERE status = 'RUNNING' AND lease_expires_at <= ? AND last_attempted_at <= ?` + filter + `
		ORDER BY lease_expires_at LIMIT ?`, append(args, limit)
}

// requeueAll handles at most limit rows.
func requeueAll(ctx context.Context, tx querier, now time.Time, r queue.RequeueRequest, limit int) (done queue.RequeueResult, err error) {
	query, args := abandonedRows(r, now, limit)
	rows, err := list(ctx, tx, `SELECT `+lightColumns+query, args...) // no arguments or errors, which may be long
	if err != nil {
		return done, err
	}
	for _, row := range rows {
		if mayRunAgain(r, row.Attempts, row.MaxAttempts) {
			reclaim(row, now)
			row.MaxAttempts = max(row.MaxAttempts, row.Attempts+1)
			done.Ready++
			err = saveLight(ctx, tx, row, now)
		} else {
			done.Failed++
			err = abandon(ctx, tx, row.ID, now)
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// abandon is loseWorker of a row that this transaction has locked. It reads the
// errors, to which one is added.
func abandon(ctx context.Context, tx querier, id uuid.UUID, now time.Time) error {
	row, err := loadBy(ctx, tx, `SELECT `+historyColumns+` FROM claimcheck_tasks WHERE id = ?`, id)
	if err != nil {
		return err
	}
	loseWorker(row, now)
	return saveLost(ctx, tx, row, now) // a RUNNING row has no result that it could lose
}

// mayRunAgain reports whether a row becomes READY and not FAILED.
func mayRunAgain(r queue.RequeueRequest, attempts, maxAttempts int) bool {
	if r.MaxAttempts > 0 {
		maxAttempts = r.MaxAttempts
	}
	return !r.MarkFailed && attempts < maxAttempts
}

// abandoned counts what Requeue would do.
func (s *Store) abandoned(ctx context.Context, r queue.RequeueRequest) (would queue.RequeueResult, err error) {
	err = s.read(ctx, "requeue tasks", func(conn querier) error {
		now, err := conn.now(ctx)
		if err != nil {
			return err
		}
		query, args := abandonedRows(r, now, max(r.Limit, 0))
		return each(ctx, conn, func(scan func(...any) error) error {
			var attempts, maxAttempts int
			err := scan(&attempts, &maxAttempts)
			if mayRunAgain(r, attempts, maxAttempts) {
				would.Ready++
			} else {
				would.Failed++
			}
			return err
		}, `SELECT attempts, max_attempts`+query, args...)
	})
	if err != nil {
		return queue.RequeueResult{}, err
	}
	return would, nil
}
