package pgstore

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Figures are counted from the rows that finished between claimcheck_figures_state's
// counted_to and claimcheck_counting's, before which no row appears without a change (see
// count.go). The triggers that write these changes also write claimcheck_figures_pending:
// the rows that were removed before they were counted, and those that appear with an
// earlier time. A step reads the rows of a range and consumes what is pending up to its
// end in one statement, which sees each row, or what is pending instead of it:
//
//   - A row that was removed and is pending in the range is not among the rows, and counts. Before
//     the range, the step of its time has seen the row.
//   - A row that appeared late and is pending in the range is among the rows, or pending
//     as removed, too. Before the range it was not seen, and counts.
const figureRows = 20_000 // of each status in one step

// figuresDueQuery reports whether there is something to count up to $1 ago, or figures
// from before that are to be deleted. Indexes: claimcheck_tasks_finished,
// claimcheck_figures_pending_finished, and the primary key of claimcheck_figures.
const figuresDueQuery = `
WITH bounds AS MATERIALIZED (
	SELECT greatest((SELECT counted_to FROM claimcheck_figures_state), now() - $1::interval) AS start, counted_to AS until FROM claimcheck_counting
)
SELECT coalesce((SELECT
	EXISTS (SELECT FROM claimcheck_tasks WHERE status = 'SUCCESSFUL' AND finished_at IS NOT NULL AND finished_at >= start AND finished_at < until)
	OR EXISTS (SELECT FROM claimcheck_tasks WHERE status = 'FAILED' AND finished_at IS NOT NULL AND finished_at >= start AND finished_at < until)
	OR EXISTS (SELECT FROM claimcheck_tasks WHERE status = 'CANCELLED' AND finished_at IS NOT NULL AND finished_at >= start AND finished_at < until)
	OR EXISTS (SELECT FROM claimcheck_figures_pending WHERE finished_at < until)
	OR EXISTS (SELECT FROM claimcheck_figures WHERE hour < now() - $1::interval - interval '1 hour')
	FROM bounds), false)`

// beginFiguresQuery is for the first step.
const beginFiguresQuery = `INSERT INTO claimcheck_figures_state (counted_to) SELECT '-infinity' WHERE NOT EXISTS (SELECT FROM claimcheck_figures_state) ON CONFLICT DO NOTHING`

// lockFiguresQuery keeps other processes out until the transaction ends. What is counted
// can be counted again, so that a step need not wait for the disk.
const lockFiguresQuery = `
SELECT greatest(s.counted_to, date_trunc('hour', now() - $1::interval, 'UTC')), coalesce((SELECT counted_to FROM claimcheck_counting), '-infinity'), set_config('synchronous_commit', 'off', true)
FROM claimcheck_figures_state AS s FOR UPDATE SKIP LOCKED`

// figureColumns are what queue.Outcomes count by, in the order of outcomeRow.fields.
const figureColumns = `status, backend_name, queue_name, task_path, attempts, enqueued_at, run_after, started_at, last_attempted_at, finished_at`

// figureRowsQuery returns the rows that finished from $1 to $2, and consumes what is
// pending until then. Index: claimcheck_tasks_finished.
const figureRowsQuery = `
WITH pending AS MATERIALIZED (
	DELETE FROM claimcheck_figures_pending WHERE finished_at < $2::timestamptz RETURNING *
)
SELECT t.* FROM ` + finalStatuses + ` AS final(status), LATERAL (
	SELECT ` + figureColumns + ` FROM claimcheck_tasks AS t
	WHERE t.status = final.status AND finished_at IS NOT NULL AND finished_at >= $1::timestamptz AND finished_at < $2::timestamptz
	ORDER BY finished_at) AS t
UNION ALL
SELECT ` + figureColumns + ` FROM pending WHERE removed = (finished_at >= $1::timestamptz) AND finished_at >= now() - $3::interval`

const hourFiguresQuery = `
SELECT hour, backend_name, queue_name, task_path, succeeded, failed, cancelled, retried, histograms FROM claimcheck_figures WHERE hour = $1::timestamptz`

const saveFiguresQuery = `
INSERT INTO claimcheck_figures AS f (hour, backend_name, queue_name, task_path, succeeded, failed, cancelled, retried, histograms)
SELECT $1::timestamptz, * FROM unnest($2::text[], $3::text[], $4::text[], $5::int8[], $6::int8[], $7::int8[], $8::int8[], $9::bytea[])
ON CONFLICT (hour, backend_name, queue_name, task_path) DO UPDATE SET succeeded = excluded.succeeded, failed = excluded.failed,
	cancelled = excluded.cancelled, retried = excluded.retried, histograms = excluded.histograms`

// dropFiguresQuery deletes some of the figures that are no longer kept.
const dropFiguresQuery = `
DELETE FROM claimcheck_figures WHERE (hour, backend_name, queue_name, task_path) IN (
	SELECT hour, backend_name, queue_name, task_path FROM claimcheck_figures WHERE hour < now() - $1::interval - interval '1 hour'
	ORDER BY hour LIMIT $2::int8)`

// droppedFigures is how many one step deletes.
const droppedFigures = 2000

// CountFigures counts up to figureRows rows of each status that have ended, up to the
// time until which [Store.CountFinished] has counted. It returns at once if another
// process is counting.
func (s *Store) CountFigures(ctx context.Context) (more bool, err error) {
	var due bool
	err = s.on(ctx, "count figures", func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, figuresDueQuery, queue.FiguresKept).Scan(&due)
	})
	if err != nil || !due {
		return false, err
	}
	err = s.with(ctx, "count figures", use{ownTransaction: true}, func(conn *pgx.Conn) error {
		return pgx.BeginTxFunc(ctx, conn, readCommitted, func(tx pgx.Tx) (err error) {
			more, err = countFigures(ctx, tx, s.figures)
			return err
		})
	})
	return more && err == nil, err
}

// countFigures is one step.
func countFigures(ctx context.Context, tx pgx.Tx, limit int) (more bool, err error) {
	var from, until, end pgtype.Timestamptz
	var ignored string
	if _, err := tx.Exec(ctx, beginFiguresQuery); err != nil {
		return false, err
	}
	err = tx.QueryRow(ctx, lockFiguresQuery, queue.FiguresKept).Scan(&from, &until, &ignored)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil // another one counts
	}
	if err != nil {
		return false, err
	}
	if until.InfinityModifier != pgtype.Finite || until.Time.Before(from.Time) {
		until = from // only what is pending
	}
	if err := tx.QueryRow(ctx, nthFinishedQuery, from, until, limit).Scan(&end); err != nil {
		return false, err
	}
	if more = end.Valid; more {
		until = timeValue(later(end.Time, from.Time.Add(time.Microsecond))) // many may have ended at once
	}
	var batch queue.FigureBatch
	if err := readOutcomes(ctx, tx, batch.Add, figureRowsQuery, from, until, queue.FiguresKept); err != nil {
		return false, err
	}
	for _, hour := range batch.Hours() {
		if err := saveHour(ctx, tx, &batch, hour); err != nil {
			return false, err
		}
	}
	dropped, err := count(tx.Exec(ctx, dropFiguresQuery, queue.FiguresKept, droppedFigures))
	if err != nil {
		return false, err
	}
	_, err = tx.Exec(ctx, `UPDATE claimcheck_figures_state SET counted_to = $1::timestamptz`, until)
	return more || dropped == droppedFigures, err
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// readOutcomes calls do with each row of a query that returns figureColumns. The row is
// the same each time.
func readOutcomes(ctx context.Context, q querier, do func(*queue.Row), query string, args ...any) error {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	var r queue.Row
	_, err = pgx.ForEachRow(rows, outcomeFields(&r), func() error {
		do(&r)
		return nil
	})
	return err
}

func outcomeFields(r *queue.Row) []any {
	return []any{(*repeated)(&r.Status), (*repeated)(&r.Backend), (*repeated)(&r.Queue), (*repeated)(&r.Task), &r.Attempts,
		(*moment)(&r.EnqueuedAt), (*moment)(&r.RunAfter), (*moment)(&r.StartedAt), (*moment)(&r.LastAttemptedAt), (*moment)(&r.FinishedAt)}
}

// saveHour adds the rows of an hour to its figures.
func saveHour(ctx context.Context, tx pgx.Tx, batch *queue.FigureBatch, hour time.Time) error {
	rows, err := tx.Query(ctx, hourFiguresQuery, timeValue(hour))
	if err != nil {
		return err
	}
	stored, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f queue.HourFigures, err error) {
		var histograms []byte
		err = row.Scan(append(figureFields(&f), &histograms)...)
		_ = f.DecodeHistograms(histograms) // what cannot be decoded is no reason to count nothing more
		return f, err
	})
	if err != nil {
		return err
	}
	changed := batch.Merged(hour, stored)
	var backends, queues, tasks []string
	var counts [4][]int64
	var histograms [][]byte
	for i := range changed {
		f := &changed[i]
		backends, queues, tasks = append(backends, f.Backend), append(queues, f.Queue), append(tasks, f.Task)
		for j, n := range []int{f.Succeeded, f.Failed, f.Cancelled, f.Retried} {
			counts[j] = append(counts[j], int64(n))
		}
		histograms = append(histograms, f.EncodeHistograms())
	}
	_, err = tx.Exec(ctx, saveFiguresQuery, timeValue(hour), backends, queues, tasks, counts[0], counts[1], counts[2], counts[3], histograms)
	return err
}

func figureFields(f *queue.HourFigures) []any {
	return []any{(*moment)(&f.Hour), &f.Backend, &f.Queue, &f.Task, &f.Succeeded, &f.Failed, &f.Cancelled, &f.Retried}
}

// figuresQuery returns, in one statement and therefore at one time, the figures of the
// hours from $1 to $2, the rows that have ended in that time and are not counted yet (up to
// $3 of each status), and what is pending. kind is 0 for figures, 1 for rows, 2 for what is
// pending, and 3 for the time; figures have their hour, and the time is, where rows have
// enqueued_at. Indexes: the primary key of claimcheck_figures,
// claimcheck_tasks_finished.
const figuresQuery = `
WITH state AS MATERIALIZED (SELECT coalesce((SELECT counted_to FROM claimcheck_figures_state), '-infinity') AS counted_to)
SELECT 0 AS kind, ''::text, backend_name, queue_name, task_path, 0, hour, NULL::timestamptz, NULL::timestamptz, NULL::timestamptz, NULL::timestamptz,
	succeeded, failed, cancelled, retried, histograms
FROM claimcheck_figures WHERE hour >= $1::timestamptz AND hour < $2::timestamptz
	AND ($4::text = '' OR task_path = $4::text) AND ($5::text = '' OR queue_name = $5::text) AND ($6::text = '' OR backend_name = $6::text)
UNION ALL
SELECT 1, t.*, 0, 0, 0, 0, NULL FROM ` + finalStatuses + ` AS final(status), LATERAL (
	SELECT ` + figureColumns + ` FROM claimcheck_tasks AS t
	WHERE t.status = final.status AND finished_at IS NOT NULL AND finished_at >= greatest($1::timestamptz, (SELECT counted_to FROM state)) AND finished_at < $2::timestamptz
	ORDER BY finished_at LIMIT $3::int8) AS t
UNION ALL
SELECT 2, ` + figureColumns + `, 0, 0, 0, 0, NULL FROM claimcheck_figures_pending
WHERE finished_at >= $1::timestamptz AND finished_at < $2::timestamptz AND removed = (finished_at >= (SELECT counted_to FROM state))
UNION ALL
SELECT 3, '', '', '', '', 0, now(), NULL, NULL, NULL, NULL, 0, 0, 0, 0, NULL`

// Figures returns the figures of some hours, and what is not counted yet.
func (s *Store) Figures(ctx context.Context, r queue.FiguresRequest) (figures queue.Figures, err error) {
	err = s.on(ctx, "read figures", func(conn *pgx.Conn) error {
		var hours []queue.HourFigures
		var now time.Time
		var kind int
		var row queue.Row
		var f queue.HourFigures
		var histograms []byte
		tail := queue.NewFiguresTail(r)
		result, err := conn.Query(ctx, figuresQuery, timeValue(r.Since), timeValue(r.Until), queue.FiguresTailLimit, r.Task, r.Queue, r.Backend)
		if err != nil {
			return err
		}
		fields := append([]any{&kind}, outcomeFields(&row)...)
		fields = append(fields, &f.Succeeded, &f.Failed, &f.Cancelled, &f.Retried, &histograms)
		_, err = pgx.ForEachRow(result, fields, func() error {
			switch kind {
			case 0:
				f.Hour, f.Backend, f.Queue, f.Task = row.EnqueuedAt, row.Backend, row.Queue, row.Task
				_ = f.DecodeHistograms(histograms)
				hours = append(hours, f)
			case 1:
				tail.Add(&row)
			case 2:
				tail.AddPending(&row)
			default:
				now = row.EnqueuedAt
			}
			return nil
		})
		if err == nil {
			figures = tail.Figures(hours, now)
		}
		return err
	})
	return figures, err
}

var _ queue.FigureStore = (*Store)(nil)
