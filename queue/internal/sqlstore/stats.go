package sqlstore

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// within is f as a condition to be appended, and its arguments.
func within(f queue.Filter) (condition string, args []any) {
	if f.Queue != "" {
		condition += ` AND queue_name = ?`
		args = append(args, f.Queue)
	}
	if f.Backend != "" {
		condition += ` AND backend_name = ?`
		args = append(args, f.Backend)
	}
	return condition, args
}

// waitingSince is since when a READY row that is due has been so.
const waitingSince = `CASE WHEN coalesce(retry_at, run_after) > enqueued_at THEN coalesce(retry_at, run_after) ELSE enqueued_at END`

// strandedSince is since when a stranded row has been due, or was to be armed.
const strandedSince = `CASE WHEN dispatch_due_at < ` + waitingSince + ` THEN dispatch_due_at ELSE ` + waitingSince + ` END`

const (
	countOnly   = `count(*), NULL, NULL`
	countSince  = `count(*), min(` + waitingSince + `), max(` + waitingSince + `)`
	nextOfHeld  = `coalesce(retry_at, run_after)`
	heldRows    = `status = 'READY' AND hold = 1 AND `
	parkedRows  = `status = 'READY' AND hold >= 2 AND `
	andFinished = ` AND finished_at IS NOT NULL`
)

// statsParts are the counts of Stats: what is selected, of which rows, whether these
// depend on the time, and the field of the count. Each has
// its index: claimcheck_tasks_claim, _outbox or _finished for what is READY (the
// database chooses), _held, _lease and, for the final states, _finished. Without a filter the last two need nothing of the table. What
// Promote has not released yet counts as pending nevertheless.
var statsParts = []struct {
	columns, rows string
	timed         bool
	count         func(*queue.Stats) *int
}{
	{countSince, `status = 'READY' AND hold = 0`, false, func(f *queue.Stats) *int { return &f.Pending }},
	{countSince, heldRows + nextOfHeld + ` <= ?`, true, func(f *queue.Stats) *int { return &f.Pending }},
	{countOnly, heldRows + nextOfHeld + ` > ?`, true, func(f *queue.Stats) *int { return &f.Delayed }},
	{`count(*), min(` + strandedSince + `), NULL`, `status = 'READY' AND dispatch_due_at <= ?` + andNotGated, true, func(f *queue.Stats) *int { return &f.Stranded }},
	{countOnly, `status = 'RUNNING'`, false, func(f *queue.Stats) *int { return &f.Running }},
	{countOnly, `status = 'SUCCESSFUL'` + andFinished, false, func(f *queue.Stats) *int { return &f.Successful }},
	{countOnly, `status = 'FAILED'` + andFinished, false, func(f *queue.Stats) *int { return &f.Failed }},
	{countOnly, `status = 'CANCELLED'` + andFinished, false, func(f *queue.Stats) *int { return &f.Cancelled }},
	// From parkedStats on, only where rows may be parked.
	{countSince, parkedRows + nextOfHeld + ` IS NULL`, false, func(f *queue.Stats) *int { return &f.Pending }},
	{countSince, parkedRows + nextOfHeld + ` <= ?`, true, func(f *queue.Stats) *int { return &f.Pending }},
	{countOnly, parkedRows + nextOfHeld + ` > ?`, true, func(f *queue.Stats) *int { return &f.Delayed }},
}

const parkedStats = 8

// statsQuery counts all statsParts in one statement, and therefore at one moment.
// Its first column is the index in statsParts.
func statsQuery(f queue.Filter, now time.Time, parked bool) (string, []any) {
	filter, filterArgs := within(f)
	var parts []string
	var args []any
	for i, part := range statsParts {
		if i == parkedStats && !parked {
			break
		}
		parts = append(parts, `SELECT `+strconv.Itoa(i)+`, `+part.columns+` FROM claimcheck_tasks WHERE `+part.rows+filter)
		if part.timed {
			args = append(args, micros(now))
		}
		args = append(args, filterArgs...)
	}
	return strings.Join(parts, ` UNION ALL `), args
}

// Stats counts rows.
func (s *Store) Stats(ctx context.Context, f queue.Filter) (stats queue.Stats, err error) {
	err = s.read(ctx, "count tasks", func(conn querier) error {
		now, err := conn.now(ctx)
		if err != nil {
			return err
		}
		parked, err := hasParked(ctx, conn)
		if err != nil {
			return err
		}
		query, args := statsQuery(f, now, parked)
		return each(ctx, conn, func(scan func(...any) error) error {
			var place, n int
			var oldest, newest time.Time
			if err := scan(&place, &n, at(&oldest), at(&newest)); err != nil {
				return err
			}
			count := statsParts[place].count(&stats)
			*count += n
			if count == &stats.Stranded {
				stats.OldestStrandedSince = oldest
				return nil
			}
			if since := stats.OldestPendingSince; since.IsZero() || !oldest.IsZero() && oldest.Before(since) {
				stats.OldestPendingSince = oldest
			}
			stats.NewestPendingSince = later(stats.NewestPendingSince, newest)
			return nil
		}, query, args...)
	})
	if err != nil {
		return queue.Stats{}, err
	}
	return stats, nil
}
