package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Figures have the rows that finished before counted_to. A step counts the next ones while
// it has the only row of claimcheck_figures_state locked. Whatever deletes or reopens a
// row that may not be counted yet locks that row, too, and counts it: countRemoved.
//
// In SQLite, which has one writer, no row is committed with an earlier finished_at than
// another, unless the clock is set back. In MySQL a transaction that has finished a row
// may commit it later. A step therefore reads rows with shared locks, without waiting: it
// fails if another transaction has written a row of its range, and the next sweep repeats
// it. After figuresPatience it counts what is committed, and rows that are committed even
// later are not counted.
const (
	figureRows = 2000 // of each status in one step, which in SQLite blocks other writers
	// figuresLag is how long a row has ended before it is counted: longer than a statement
	// takes from reading the time to writing the row, and than clocks are set back.
	figuresLag      = 10 * time.Second
	figuresPatience = 10 * time.Minute
	droppedFigures  = 2000 // figures that one step deletes
)

// figureColumns are what queue.Outcomes count by, in the order of scanOutcome.
const figureColumns = `status, backend_name, queue_name, task_path, attempts, enqueued_at, run_after, started_at, last_attempted_at, finished_at`

func scanOutcome(scan func(...any) error, r *queue.Row) error {
	return scan(&r.Status, &r.Backend, &r.Queue, &r.Task, &r.Attempts, at(&r.EnqueuedAt), at(&r.RunAfter), at(&r.StartedAt), at(&r.LastAttemptedAt), at(&r.FinishedAt))
}

var endedStatuses = []any{queue.StatusSuccessful, queue.StatusFailed, queue.StatusCancelled}

// figureRowsQuery selects rows that finished within a range. Index:
// claimcheck_tasks_finished.
func (d *Dialect) figureRowsQuery() string {
	return `SELECT ` + figureColumns + ` FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_finished") + `
		WHERE status IN (?, ?, ?) AND finished_at >= ? AND finished_at < ?`
}

// figuresDueQuery returns until when rows are counted, and whether there is one in a range,
// and are figures before an hour. Indexes: claimcheck_tasks_finished; the primary key.
func (d *Dialect) figuresDueQuery() string {
	return `SELECT counted_to, EXISTS (SELECT 1 FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_finished") + `
			WHERE status IN (?, ?, ?) AND finished_at >= CASE WHEN counted_to > ? THEN counted_to ELSE ? END AND finished_at < ?),
		EXISTS (SELECT 1 FROM claimcheck_figures WHERE hour < ?)
	FROM claimcheck_figures_state WHERE id = 1`
}

// CountFigures counts up to figureRows rows of each status that have ended. It returns at
// once if another process is counting.
func (s *Store) CountFigures(ctx context.Context) (more bool, err error) {
	due := false
	err = s.read(ctx, "count figures", func(conn querier) error {
		now, err := conn.now(ctx)
		if err != nil {
			return err
		}
		var rows, old bool
		var ignored time.Time
		first := firstFigures(now).UnixMicro()
		args := append(slices.Clone(endedStatuses), first, first, now.Add(-figuresLag).UnixMicro(), first)
		err = conn.QueryRowContext(ctx, s.dialect.figuresDueQuery(), args...).Scan(at(&ignored), &rows, &old)
		due = rows || old
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil || !due {
		return false, err
	}
	err = s.write(ctx, "count figures", func(ctx context.Context, tx querier, now time.Time) (err error) {
		more, err = countFigures(ctx, tx, now)
		return err
	})
	return more && err == nil, err
}

// firstFigures is the first hour of which figures are kept.
func firstFigures(now time.Time) time.Time { return now.Add(-queue.FiguresKept).Truncate(time.Hour) }

// countFigures is one step.
func countFigures(ctx context.Context, tx querier, now time.Time) (more bool, err error) {
	from, err := lockFigures(ctx, tx, tx.store.dialect.lockRows)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil // another one counts
	}
	if err != nil {
		return false, err
	}
	dropped, err := dropFigures(ctx, tx, now)
	if err != nil {
		return false, err
	}
	from, until := later(from, firstFigures(now)), now.Add(-figuresLag)
	if !from.Before(until) {
		return dropped, nil
	}
	until, more, err = figuresUntil(ctx, tx, from, until)
	if err != nil {
		return false, err
	}
	var batch queue.FigureBatch
	err = readOutcomes(ctx, tx, &batch, from, until, tx.store.dialect.lockSharedNow)
	if err != nil && tx.store.backend.Locked(err) {
		if until = earlier(until, now.Add(-figuresPatience)); !from.Before(until) {
			return false, nil
		}
		batch = queue.FigureBatch{}
		err = readOutcomes(ctx, tx, &batch, from, until, "")
	}
	if err != nil {
		return false, err
	}
	if err := saveFigures(ctx, tx, &batch); err != nil {
		return false, err
	}
	_, err = tx.ExecContext(ctx, `UPDATE claimcheck_figures_state SET counted_to = ? WHERE id = 1`, until.UnixMicro())
	return more || dropped, err
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// lockFigures returns until when rows are counted, and locks that.
func lockFigures(ctx context.Context, tx querier, lock string) (countedTo time.Time, err error) {
	err = tx.QueryRowContext(ctx, `SELECT counted_to FROM claimcheck_figures_state WHERE id = 1`+lock).Scan(at(&countedTo))
	return countedTo, err
}

// dropFigures deletes figures that are no longer kept, and reports whether there may be more.
func dropFigures(ctx context.Context, tx querier, now time.Time) (more bool, err error) {
	var hour time.Time
	err = tx.QueryRowContext(ctx, `SELECT hour FROM claimcheck_figures WHERE hour < ? ORDER BY hour LIMIT 1 OFFSET ?`, firstFigures(now).UnixMicro(), droppedFigures).Scan(at(&hour))
	if more = err == nil; errors.Is(err, sql.ErrNoRows) {
		hour, err = firstFigures(now), nil
	}
	if err != nil {
		return false, err
	}
	if more { // at most those of an hour more
		hour = hour.Add(time.Microsecond)
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM claimcheck_figures WHERE hour < ?`, hour.UnixMicro())
	return more, err
}

// figuresUntil returns the end of a step, before which at most figureRows rows of each
// status have ended if they can be divided, and whether there are more.
func figuresUntil(ctx context.Context, tx querier, from, until time.Time) (end time.Time, more bool, err error) {
	end = until
	for _, status := range endedStatuses {
		var nth time.Time
		err := tx.QueryRowContext(ctx, `SELECT finished_at FROM claimcheck_tasks`+tx.store.dialect.useIndex("claimcheck_tasks_finished")+`
			WHERE status = ? AND finished_at >= ? AND finished_at < ? ORDER BY finished_at LIMIT 1 OFFSET ?`,
			status, from.UnixMicro(), end.UnixMicro(), figureRows).Scan(at(&nth))
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return end, false, err
		default:
			end, more = later(nth, from.Add(time.Microsecond)), true // many may have ended at once
		}
	}
	return end, more, nil
}

// readOutcomes adds the rows that finished within a range.
func readOutcomes(ctx context.Context, q querier, batch *queue.FigureBatch, from, until time.Time, lock string) error {
	args := append(slices.Clone(endedStatuses), from.UnixMicro(), until.UnixMicro())
	var row queue.Row
	return each(ctx, q, func(scan func(...any) error) error {
		if err := scanOutcome(scan, &row); err != nil {
			return err
		}
		batch.Add(&row)
		return nil
	}, q.store.dialect.figureRowsQuery()+lock, args...)
}

const hourFigures = `hour, backend_name, queue_name, task_path, succeeded, failed, cancelled, retried, histograms`

func scanFigures(scan func(...any) error, more ...any) (f queue.HourFigures, err error) {
	var histograms []byte
	err = scan(append([]any{at(&f.Hour), &f.Backend, &f.Queue, &f.Task, &f.Succeeded, &f.Failed, &f.Cancelled, &f.Retried, &histograms}, more...)...)
	_ = f.DecodeHistograms(histograms) // what cannot be decoded is no reason to count nothing more
	return f, err
}

// figuresAtOnce is how many figures one statement writes.
const figuresAtOnce = 50

// saveFigures adds a batch to the figures, which are locked.
func saveFigures(ctx context.Context, tx querier, batch *queue.FigureBatch) error {
	for _, hour := range batch.Hours() {
		var stored []queue.HourFigures
		err := each(ctx, tx, func(scan func(...any) error) error {
			f, err := scanFigures(scan)
			stored = append(stored, f)
			return err
		}, `SELECT `+hourFigures+` FROM claimcheck_figures WHERE hour = ?`, hour.UnixMicro())
		if err != nil {
			return err
		}
		for some := range slices.Chunk(batch.Merged(hour, stored), figuresAtOnce) {
			var args []any
			for i := range some {
				f := &some[i]
				args = append(args, hour.UnixMicro(), f.Backend, f.Queue, f.Task, f.Succeeded, f.Failed, f.Cancelled, f.Retried, f.EncodeHistograms())
			}
			values := strings.Repeat(`, (?, ?, ?, ?, ?, ?, ?, ?, ?)`, len(some))[2:]
			if _, err := tx.ExecContext(ctx, `REPLACE INTO claimcheck_figures (`+hourFigures+`) VALUES `+values, args...); err != nil {
				return err
			}
		}
	}
	return nil
}

// countRemoved counts those of some rows that have ended and are not counted yet. The
// caller has locked them, and deletes or reopens them.
func countRemoved(ctx context.Context, tx querier, ids []any) error {
	removed, err := uncounted(ctx, tx, ids, `(SELECT counted_to FROM claimcheck_figures_state WHERE id = 1)`)
	if err != nil || len(removed.Hours()) == 0 {
		return err
	}
	countedTo, err := lockFigures(ctx, tx, tx.store.dialect.lockRow)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	removed, err = uncounted(ctx, tx, ids, `?`, countedTo.UnixMicro()) // they may have been counted meanwhile
	if err != nil {
		return err
	}
	return saveFigures(ctx, tx, removed)
}

// countReopened is countRemoved of a row that is about to be claimed.
func countReopened(ctx context.Context, tx querier, row *queue.Row) error {
	if !row.Status.Final() {
		return nil
	}
	return countRemoved(ctx, tx, []any{row.ID})
}

// uncounted returns those of some rows that finished from a time on. Index: the primary
// key.
func uncounted(ctx context.Context, tx querier, ids []any, from string, args ...any) (*queue.FigureBatch, error) {
	batch := new(queue.FigureBatch)
	var row queue.Row
	for some := range slices.Chunk(ids, manyRows) {
		err := each(ctx, tx, func(scan func(...any) error) error {
			if err := scanOutcome(scan, &row); err != nil {
				return err
			}
			batch.Add(&row)
			return nil
		}, `SELECT `+figureColumns+` FROM claimcheck_tasks`+tx.store.dialect.byID+`
			WHERE id IN (`+marks(len(some))+`) AND status IN ('SUCCESSFUL', 'FAILED', 'CANCELLED') AND finished_at >= `+from, append(slices.Clone(some), args...)...)
		if err != nil {
			return nil, err
		}
	}
	return batch, nil
}

// figuresTailQuery returns the rows of a status that finished within a range. Index:
// claimcheck_tasks_finished, in its order.
func (d *Dialect) figuresTailQuery() string {
	return `SELECT ` + figureColumns + ` FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_finished") + `
		WHERE status = ? AND finished_at >= ? AND finished_at < ? ORDER BY finished_at LIMIT ?`
}

// Figures returns the figures of some hours, and what is not counted yet.
func (s *Store) Figures(ctx context.Context, r queue.FiguresRequest) (figures queue.Figures, err error) {
	err = s.read(ctx, "read figures", func(conn querier) error {
		now, err := conn.now(ctx)
		if err != nil {
			return err
		}
		hours, countedTo, err := readFigures(ctx, conn, r)
		if err != nil {
			return err
		}
		tail := queue.NewFiguresTail(r)
		var row queue.Row
		for _, status := range endedStatuses {
			err := each(ctx, conn, func(scan func(...any) error) error {
				if err := scanOutcome(scan, &row); err != nil {
					return err
				}
				tail.Add(&row)
				return nil
			}, s.dialect.figuresTailQuery(), status, later(r.Since, countedTo).UnixMicro(), r.Until.UnixMicro(), queue.FiguresTailLimit)
			if err != nil {
				return err
			}
		}
		figures = tail.Figures(hours, now)
		return nil
	})
	return figures, err
}

// readFigures returns figures, and until when rows are counted, as one statement sees both.
func readFigures(ctx context.Context, conn querier, r queue.FiguresRequest) (hours []queue.HourFigures, countedTo time.Time, err error) {
	query := `SELECT coalesce(f.hour, 0), coalesce(backend_name, ''), coalesce(queue_name, ''), coalesce(task_path, ''),
			coalesce(succeeded, 0), coalesce(failed, 0), coalesce(cancelled, 0), coalesce(retried, 0), histograms, counted_to
		FROM claimcheck_figures_state AS s LEFT JOIN claimcheck_figures AS f ON f.hour >= ? AND f.hour < ?`
	args := []any{r.Since.UnixMicro(), r.Until.UnixMicro()}
	for _, name := range []struct{ column, value string }{{"task_path", r.Task}, {"queue_name", r.Queue}, {"backend_name", r.Backend}} {
		if name.value != "" {
			query += ` AND ` + name.column + ` = ?`
			args = append(args, name.value)
		}
	}
	err = each(ctx, conn, func(scan func(...any) error) error {
		f, err := scanFigures(scan, at(&countedTo))
		if f.Hour.UnixMicro() > 0 {
			hours = append(hours, f)
		}
		return err
	}, query+` WHERE s.id = 1`, args...)
	return hours, countedTo, err
}

var _ queue.FigureStore = (*Store)(nil)
