package sqlstore

import (
	"context"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// changes are what an action makes of a row.
var changes = map[queue.Action]func(row *queue.Row, now time.Time){
	queue.ActionRun:     makeDue,
	queue.ActionRetry:   reopen,
	queue.ActionRequeue: takeBack,
	queue.ActionCancel:  cancel,
}

// makeDue lets a READY row run now.
func makeDue(row *queue.Row, now time.Time) {
	row.RunAfter, row.RetryAt = time.Time{}, now // since when it waits
	row.DispatchError = ""
	row.DispatchDueAt = now.Add(queue.DispatchGrace)
}

// reopen makes a FAILED row READY.
func reopen(row *queue.Row, now time.Time) {
	row.Status = queue.StatusReady
	row.FinishedAt, row.RetryAt = time.Time{}, later(now, row.RunAfter)
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

// matching appends the rows that an action would change.
func (s *Store) matching(q *statement, a queue.Action, selection queue.Selection, before, now time.Time) error {
	if err := storekit.CheckAction(a, &selection); err != nil {
		return err
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	rows := storekit.ActionRows(a, number(before.UnixMicro()), number(now.UnixMicro()), number(queue.DispatchGrace.Microseconds()))
	q.add(` FROM claimcheck_tasks WHERE ` + rows + ` AND ` + s.dialect.view(selection.View).rows)
	q.ids(selection)
	q.filter(selection, now)
	return nil
}

// CountMatching counts the rows that an action would change, up to limit.
func (s *Store) CountMatching(ctx context.Context, a queue.Action, selection queue.Selection, before time.Time, limit int) (n int, err error) {
	if before.IsZero() {
		before = storekit.Forever
	}
	err = s.read(ctx, "count tasks", func(conn querier) error {
		now, err := conn.now(ctx)
		if err != nil {
			return err
		}
		q := statement{text: `SELECT count(*) FROM (SELECT 1 AS one`}
		if err := s.matching(&q, a, selection, before, now); err != nil {
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
		q := statement{text: `SELECT ` + lightColumns} // no arguments, results or errors, which may be long
		if err := s.matching(&q, a, selection, before, now); err != nil {
			return err
		}
		q.add(` LIMIT ?`, limit)
		if rows, err = list(ctx, tx, q.text, q.args...); err != nil {
			return err
		}
		for _, row := range rows {
			changes[a](row, now)
			if err := saveLight(ctx, tx, row, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}
