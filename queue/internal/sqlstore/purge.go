package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// purgeBatch is how many rows are deleted under one write lock, which blocks all
// other writers.
const purgeBatch = 500

// Purge deletes at most r.Limit final rows, those that finished first.
func (s *Store) Purge(ctx context.Context, r queue.PurgeRequest) (result queue.PurgeResult, err error) {
	if len(r.Final()) == 0 || r.Limit < 1 {
		return result, nil
	}
	end, err := s.purgeEnd(ctx, r)
	for err == nil && result.Deleted < r.Limit {
		limit := min(purgeBatch, r.Limit-result.Deleted)
		var ids []any
		var last time.Time
		n := 0
		err = s.write(ctx, "purge tasks", func(ctx context.Context, tx querier, now time.Time) (err error) {
			ids, last, err = firstFinished(ctx, tx, now, r, end, limit)
			if n = 0; err == nil && len(ids) > 0 {
				n, err = deleteFinal(ctx, tx, ids)
			}
			return err
		})
		if err == nil && len(ids) < limit {
			return queue.PurgeResult{Deleted: result.Deleted + n, Next: end}, nil
		}
		if err == nil {
			result.Deleted += n
			r.After = last.Add(-time.Microsecond) // others may have finished with it
			result.Next = r.After
		}
	}
	return result, err
}

// purgeEndQuery returns when the last of as many rows of a status finished as a batch reads.
// Index: claimcheck_tasks_finished, from a time and in its order.
func (d *Dialect) purgeEndQuery() string {
	return `SELECT finished_at FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_finished") + `
		WHERE status = ? AND finished_at > ? AND finished_at <= ? ORDER BY finished_at LIMIT 1 OFFSET ?`
}

// purgeEnd returns until when the rows finished that a batch reads; zero: it reads all.
func (s *Store) purgeEnd(ctx context.Context, r queue.PurgeRequest) (end time.Time, err error) {
	err = s.read(ctx, "purge tasks", func(conn querier) error {
		end = time.Time{}
		now, err := conn.now(ctx)
		for _, status := range r.Final() {
			if err != nil {
				return err
			}
			var last time.Time
			args := []any{status, r.After.UnixMicro(), micros(now.Add(-r.Age)), cmp.Or(r.Window, queue.PurgeWindow) - 1}
			err = conn.QueryRowContext(ctx, s.dialect.purgeEndQuery(), args...).Scan(at(&last))
			if errors.Is(err, sql.ErrNoRows) {
				err = nil
			} else if end.IsZero() || last.Before(end) {
				end = last
			}
		}
		return err
	})
	return end, err
}

// Working reports whether any row is RUNNING.
func (s *Store) Working(ctx context.Context) (working bool, err error) {
	err = s.read(ctx, "find running tasks", func(conn querier) error {
		// Index: claimcheck_tasks_lease.
		return conn.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM claimcheck_tasks`+s.dialect.useIndex("claimcheck_tasks_lease")+`
			WHERE status = 'RUNNING' AND lease_expires_at IS NOT NULL)`).Scan(&working)
	})
	return working, err
}

// firstFinishedQuery finds rows of one status. Index: claimcheck_tasks_finished,
// from a time in the status and in its order.
func firstFinishedQuery(task string) string {
	query := `SELECT id, finished_at FROM claimcheck_tasks WHERE status = ? AND finished_at > ? AND finished_at <= ? AND (delete_at IS NULL OR delete_at <= ?) AND (unique_until IS NULL OR unique_until <= ?)`
	if task != "" {
		query += ` AND task_path = ?`
	}
	return query + ` ORDER BY finished_at LIMIT ?`
}

// firstFinished returns the IDs of the rows that finished first, until end, of all the
// statuses together, and when the last of them did.
func firstFinished(ctx context.Context, tx querier, now time.Time, r queue.PurgeRequest, end time.Time, limit int) (ids []any, last time.Time, err error) {
	type finished struct {
		id uuid.UUID
		at time.Time
	}
	until := now.Add(-r.Age)
	if !end.IsZero() && end.Before(until) {
		until = end
	}
	var first []finished
	for _, status := range r.Final() {
		args := []any{status, r.After.UnixMicro(), micros(until), micros(now), micros(now)}
		if r.Task != "" {
			args = append(args, r.Task)
		}
		err := each(ctx, tx, func(scan func(...any) error) error {
			var f finished
			err := scan(&f.id, at(&f.at))
			first = append(first, f)
			return err
		}, firstFinishedQuery(r.Task)+tx.store.dialect.lockRows, append(args, limit)...)
		if err != nil {
			return nil, last, err
		}
	}
	slices.SortStableFunc(first, func(a, b finished) int { return a.at.Compare(b.at) })
	for _, f := range first[:min(limit, len(first))] {
		ids, last = append(ids, f.id), f.at
	}
	return ids, last, nil
}

// each calls do for each row that a query returns.
func each(ctx context.Context, q querier, do func(scan func(...any) error) error, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := do(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// deleteFinalQuery deletes n rows, none of which may have been reopened.
// Index: the primary key.
func deleteFinalQuery(n int) string {
	return `DELETE FROM claimcheck_tasks WHERE id IN (` + marks(n) + `) AND status IN ('SUCCESSFUL', 'FAILED', 'CANCELLED')`
}

func deleteFinal(ctx context.Context, tx querier, ids []any) (int, error) {
	if err := countRemoved(ctx, tx, ids); err != nil {
		return 0, err
	}
	result, err := tx.ExecContext(ctx, deleteFinalQuery(len(ids)), ids...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// countPurgeableQuery counts rows of one status, without those that are kept, or hold
// their keys, for longer. Indexes: claimcheck_tasks_finished, the part that is old enough;
// that of ended rows which are deleted; claimcheck_tasks_unique.
func (d *Dialect) countPurgeableQuery(task string) string {
	rows := `status = ? AND finished_at <= ?`
	if task != "" {
		rows += ` AND task_path = ?`
	}
	return `SELECT (SELECT count(*) FROM claimcheck_tasks WHERE ` + rows + `)
		- (SELECT count(*) FROM claimcheck_tasks` + d.useIndex(d.deleteIndex) + ` WHERE ` + rows + ` AND ` + d.deletable + ` AND ` + d.deleteAhead + `)
		- (SELECT count(*) FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_unique") + ` WHERE ` + rows + ` AND ` + d.keyKept + `
			AND unique_until > ? AND (delete_at IS NULL OR delete_at <= ?))`
}

// CountPurgeable returns how many rows Purge would delete in all.
func (s *Store) CountPurgeable(ctx context.Context, r queue.PurgeRequest) (total int, err error) {
	err = s.read(ctx, "count tasks to purge", func(conn querier) error {
		now, err := conn.now(ctx)
		if err != nil {
			return err
		}
		before := micros(now.Add(-r.Age))
		for _, status := range r.Final() {
			args := []any{status, before}
			if r.Task != "" {
				args = append(args, r.Task)
			}
			var n int
			args = slices.Concat(args, args, []any{s.dialect.deleteTime(now)}, args, []any{micros(now), micros(now)})
			if err := conn.QueryRowContext(ctx, s.dialect.countPurgeableQuery(r.Task), args...).Scan(&n); err != nil {
				return err
			}
			total += n
		}
		return nil
	})
	return total, err
}
