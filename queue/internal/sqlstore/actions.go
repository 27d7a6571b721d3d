package sqlstore

import (
	"context"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// changes are what an action makes of a row, but for ActionDelete.
var changes = map[queue.Action]func(row *queue.Row, now time.Time){
	queue.ActionRun:     makeDue,
	queue.ActionRetry:   reopen,
	queue.ActionRequeue: takeBack,
	queue.ActionCancel:  cancel,
}

// makeDue lets a READY row run now.
func makeDue(row *queue.Row, now time.Time) {
	row.KeepTicket(now)
	row.RunAfter, row.RetryAt = time.Time{}, now // since when it waits
	row.DispatchError = ""
	row.DispatchDueAt = now.Add(queue.DispatchGrace)
}

// reopen makes a FAILED row READY.
func reopen(row *queue.Row, now time.Time) {
	row.Status = queue.StatusReady
	row.FinishedAt, row.DeleteAt, row.RetryAt = time.Time{}, time.Time{}, later(now, row.RunAfter)
	row.ClaimID = uuid.Nil
	row.MaxAttempts = max(row.MaxAttempts, row.Attempts+1)
	row.Interruptions = 0
	row.DispatchError, row.DispatchTries, row.DispatchDueAt = "", 0, now.Add(queue.DispatchGrace)
}

// takeBack is reclaim of a row whatever attempts are left.
func takeBack(row *queue.Row, now time.Time) {
	reclaim(row, now)
	row.MaxAttempts = max(row.MaxAttempts, row.Attempts+1)
}

// deleteRows deletes rows that this transaction has locked.
func deleteRows(ctx context.Context, tx querier, rows []*queue.Row) error {
	return inChunks(rows, func(some []*queue.Row) error {
		ids := make([]any, len(some))
		for i, row := range some {
			ids[i] = row.ID
		}
		if err := countRemoved(ctx, tx, ids); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM claimcheck_tasks WHERE id IN (`+marks(len(ids))+`)`, ids...)
		return err
	})
}

// matching appends the rows that an action would change, and for which more holds.
func (s *Store) matching(q *statement, a queue.Action, selection queue.Selection, before, now time.Time, more string) error {
	if err := storekit.CheckAction(a, &selection); err != nil {
		return err
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	rows := storekit.ActionRows(a, number(before.UnixMicro()), number(now.UnixMicro()), number(queue.DispatchGrace.Microseconds()))
	q.add(` FROM claimcheck_tasks WHERE ` + rows + ` AND ` + s.dialect.view(selection.View).rows + more)
	q.chosen(selection)
	q.filter(s.dialect, selection, now)
	return nil
}

// forAction is what else holds for the rows that an action is for.
func (d *Dialect) forAction(a queue.Action) string {
	if a == queue.ActionRetry {
		return ` AND ` + d.keyIsFree()
	}
	return ``
}

// CountMatching counts the rows that an action would change, up to limit.
func (s *Store) CountMatching(ctx context.Context, a queue.Action, selection queue.Selection, before time.Time, limit int) (int, error) {
	return s.countMatching(ctx, a, selection, before, limit, func(now time.Time) string {
		if a != queue.ActionRetry {
			return ``
		}
		return ` AND ` + s.dialect.keyWillBeFree(now)
	})
}

// CountTaken counts the FAILED rows that a retry skips because of their keys.
func (s *Store) CountTaken(ctx context.Context, selection queue.Selection, before time.Time, limit int) (int, error) {
	return s.countMatching(ctx, queue.ActionRetry, selection, before, limit, func(now time.Time) string {
		return ` AND NOT ` + s.dialect.keyWillBeFree(now)
	})
}

// CountDropped counts the FAILED rows that a retry skips because they have no arguments.
func (s *Store) CountDropped(ctx context.Context, selection queue.Selection, before time.Time, limit int) (int, error) {
	return s.countMatching(ctx, storekit.DroppedRetry, selection, before, limit, func(time.Time) string { return `` })
}

// countMatching counts rows that an action would change, and for which more holds. For a
// retry that regards the keys of rows that have expired as free: counting changes nothing,
// and queue.Client.Act cancels these rows.
func (s *Store) countMatching(ctx context.Context, a queue.Action, selection queue.Selection, before time.Time, limit int, more func(now time.Time) string) (n int, err error) {
	if before.IsZero() {
		before = storekit.Forever
	}
	err = s.read(ctx, "count tasks", func(conn querier) error {
		now, err := conn.now(ctx)
		if err != nil {
			return err
		}
		q := statement{text: `SELECT count(*) FROM (SELECT 1 AS one`}
		if err := s.matching(&q, a, selection, before, now, more(now)); err != nil {
			return err
		}
		q.add(` LIMIT ?) AS aimed`, limit)
		return conn.QueryRowContext(ctx, q.text, q.args...).Scan(&n)
	})
	return n, err
}

// Act changes up to limit selected rows that the action applies to.
func (s *Store) Act(ctx context.Context, a queue.Action, selection queue.Selection, before time.Time, limit int) (rows []*queue.Row, err error) {
	err = s.write(ctx, string(a)+" tasks", func(ctx context.Context, tx querier, now time.Time) error {
		rows = nil
		for len(rows) < limit {
			n := limit - len(rows)
			q := statement{text: `SELECT ` + lightColumns} // no arguments, results or errors, which may be long
			if err := s.matching(&q, a, selection, before, now, s.dialect.forAction(a)); err != nil {
				return err
			}
			q.add(` LIMIT ?`, n)
			found, err := list(ctx, tx, q.text, q.args...)
			if err != nil {
				return err
			}
			changed, err := act(ctx, tx, a, found, now)
			if err != nil {
				return err
			}
			if rows = append(rows, changed...); len(found) < n || len(changed) == 0 {
				break
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// act changes rows, and leaves out those whose keys are taken: of several FAILED rows
// with one key, the first is changed.
func act(ctx context.Context, tx querier, a queue.Action, rows []*queue.Row, now time.Time) (changed []*queue.Row, err error) {
	if a == queue.ActionDelete {
		if err := deleteMembers(ctx, tx, rows); err != nil {
			return nil, err
		}
		return rows, deleteRows(ctx, tx, rows)
	}
	if a == queue.ActionRetry {
		ids := make([]any, len(rows))
		for i, row := range rows {
			ids[i] = row.ID
		}
		if err := countRemoved(ctx, tx, ids); err != nil {
			return nil, err
		}
	}
	for _, row := range rows {
		holder, err := twin(ctx, tx, row, now)
		if err != nil {
			return nil, err
		}
		if holder != nil {
			continue
		}
		changes[a](row, now)
		err = saveLight(ctx, tx, row, now)
		if tx.store.backend.Duplicate(err) { // another transaction has just stored a row with the key
			continue
		}
		if err != nil {
			return nil, err
		}
		changed = append(changed, row)
	}
	return changed, nil
}
