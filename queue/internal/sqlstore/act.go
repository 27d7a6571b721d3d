package sqlstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// deed is how a queue.Action is done: the rows that it is for, and that it has
// not been done to since $before already, and what becomes of one.
type deed struct {
	rows   string // with names for times
	change func(row *queue.Row, now time.Time)
}

var deeds = map[queue.Action]deed{
	// Not what was made due since, nor what was since refused or has run.
	queue.ActionRun: {`status = 'READY' AND NOT (hold = 0 AND dispatch_due_at > $before + $grace AND dispatch_due_at <= $now + $grace)
		AND NOT (dispatch_error IS NOT NULL AND dispatch_due_at > $before AND dispatch_due_at <= $now)
		AND (last_attempted_at IS NULL OR last_attempted_at < $before)`, makeDue},
	queue.ActionRetry:   {`status = 'FAILED' AND finished_at <= $before`, reopen},
	queue.ActionRequeue: {`status = 'RUNNING' AND lease_expires_at <= $now`, takeBack},
	queue.ActionCancel:  {`status IN ('READY', 'RUNNING') AND enqueued_at <= $before`, cancel},
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

// aimed appends the rows that an action would change.
func (s *Store) aimed(q *statement, a queue.Action, selection queue.Selection, before, now time.Time) error {
	d, ok := deeds[a]
	if !ok {
		return fmt.Errorf("%w: action %q is not known", queue.ErrInvalid, a)
	}
	if err := selection.Check(); err != nil {
		return err
	}
	times := strings.NewReplacer("$before", strconv.FormatInt(before.UnixMicro(), 10), "$now", strconv.FormatInt(now.UnixMicro(), 10),
		"$grace", strconv.FormatInt(queue.DispatchGrace.Microseconds(), 10))
	q.add(` FROM claimcheck_tasks WHERE ` + times.Replace(d.rows) + ` AND ` + s.dialect.view(selection.View).rows)
	q.ids(selection)
	q.chosen(selection, now)
	return nil
}

// forever is after all times, and what is added to it still fits.
var forever = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// CountMatching counts the rows that an action would change, most at most.
func (s *Store) CountMatching(ctx context.Context, a queue.Action, selection queue.Selection, before time.Time, most int) (n int, err error) {
	if before.IsZero() {
		before = forever
	}
	err = s.read(ctx, "count tasks", func(conn querier) error {
		now, err := conn.now(ctx)
		if err != nil {
			return err
		}
		q := statement{text: `SELECT count(*) FROM (SELECT 1 AS one`}
		if err := s.aimed(&q, a, selection, before, now); err != nil {
			return err
		}
		q.add(` LIMIT ?) AS aimed`, most)
		return conn.QueryRowContext(ctx, q.text, q.args...).Scan(&n)
	})
	return n, err
}

// Act changes up to limit rows that are chosen and that the action is for.
func (s *Store) Act(ctx context.Context, a queue.Action, selection queue.Selection, before time.Time, limit int) (rows []*queue.Row, err error) {
	err = s.write(ctx, string(a)+" tasks", func(ctx context.Context, tx querier, now time.Time) error {
		q := statement{text: `SELECT ` + lightColumns} // no arguments, results or errors, which may be long
		if err := s.aimed(&q, a, selection, before, now); err != nil {
			return err
		}
		q.add(` LIMIT ?`, limit)
		if rows, err = list(ctx, tx, q.text, q.args...); err != nil {
			return err
		}
		for _, row := range rows {
			deeds[a].change(row, now)
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
