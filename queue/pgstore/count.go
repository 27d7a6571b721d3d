package pgstore

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Finished rows are counted ahead, so that statistics need not read them: the number
// of rows of a kind is
//
//	what claimcheck_totals has, of rows that finished before counted_to,
//	+ the changes of rows that finished before counted_to,
//	+ the rows that have finished since, by their index.
//
// A statement that adds these up sees all of them at one moment, and a step that
// advances counted_to counts rows and consumes their changes in one statement.
//
// The sum is exact if no row appears before counted_to without a change. Deleted and
// reopened rows, and inserted ones that are final already, always have one. A row that
// finishes has one if its finished_at, the start of its transaction, is more than
// lateFinish ago when it is written. Any other may be written, with the time of some
// moment ago, and not committed yet. So counted_to stays behind a mark: a time, and a
// transaction ID that was assigned then. When no transaction with a lower ID writes
// to the table any more, all rows that were written before the mark are visible, and
// those written later finished at most lateFinish before it.
const (
	lateFinish  = 5 * time.Second // as in the trigger claimcheck_count_finished
	clockMargin = 5 * time.Second // by which the clock of a server that takes over may be behind
	countGrid   = 10 * time.Second
	countRows   = 20_000 // of each status in one step
	// periodRows is about how many rows of all statuses are in one period, unless a step
	// counts more. Statistics of the last hour read the rows of one period at most.
	periodRows = 10_000
)

// lockCountQuery keeps other processes out. What is counted can be counted again, so
// that the step need not wait for the disk.
const lockCountQuery = `SELECT pg_try_advisory_xact_lock(hashtextextended('claimcheck_counting ' || current_schema(), 0)), set_config('synchronous_commit', 'off', true)`

const countingQuery = `SELECT counted_to, period, period_rows, mark_at, coalesce(mark_xid, 0), checked FROM claimcheck_counting`

// markQuery returns the mark of this moment. An ID that is assigned after this one was
// assigned later than the transaction began. The snapshot's own limit would not do: it
// only exceeds those of transactions that have ended.
const markQuery = `SELECT now(), pg_current_xact_id()::text::int8`

// settledQuery reports whether no transaction with an ID below $1 writes to the table:
// none is in progress, or none of these has the lock that a writer keeps to its end.
// Locks show the last 32 bits of an ID.
const settledQuery = `
WITH locks AS MATERIALIZED (SELECT locktype, relation, mode, virtualtransaction, transactionid::text::int8 AS xid FROM pg_locks)
SELECT CASE WHEN pg_snapshot_xmin(pg_current_snapshot())::text::int8 >= $1::int8 THEN true ELSE NOT EXISTS (
	SELECT FROM locks AS own JOIN locks AS writes USING (virtualtransaction)
	WHERE own.locktype = 'transactionid' AND own.mode = 'ExclusiveLock' AND (own.xid - $1::int8 % 4294967296 + 4294967296) % 4294967296 >= 2147483648
		AND writes.locktype = 'relation' AND writes.mode <> 'AccessShareLock'
		AND writes.relation IN (SELECT 'claimcheck_tasks'::regclass UNION ALL SELECT relid FROM pg_partition_tree('claimcheck_tasks'))
) END`

// finalRows are the rows of each final status in a range of times.
// Index: claimcheck_tasks_finished.
const (
	finalStatuses = `unnest(ARRAY['SUCCESSFUL', 'FAILED', 'CANCELLED'])`
	finalRows     = `FROM ` + finalStatuses + ` AS final(status), LATERAL (
		SELECT finished_at, backend_name, queue_name, task_path FROM claimcheck_tasks AS t
		WHERE t.status = final.status AND finished_at >= $1::timestamptz AND finished_at < $2::timestamptz
		ORDER BY finished_at`
)

// nthFinishedQuery is the earliest time at which rows of some status have finished that
// $3 of them precede.
const nthFinishedQuery = `SELECT min(finished_at) ` + finalRows + ` OFFSET $3::int8 LIMIT 1) AS nth`

// countStepQuery counts the rows from $1 to $2 as those of the period $3. Changes of
// these rows have taken effect on what it counts; those of earlier rows it applies.
const countStepQuery = `
WITH counted AS MATERIALIZED (
	SELECT final.status, backend_name, queue_name, task_path, count(*) AS n ` + finalRows + `) AS rows GROUP BY 1, 2, 3, 4
), changes AS MATERIALIZED (
	DELETE FROM claimcheck_changes WHERE at < $2::timestamptz RETURNING *
), added AS MATERIALIZED (
	SELECT $3::timestamptz AS at, status, backend_name, queue_name, task_path, n FROM counted
	UNION ALL
	SELECT CASE WHEN at >= timestamptz '1900-01-01 00:00:00+00' THEN greatest(date_bin(interval '1 hour', at, timestamptz '2000-01-01 00:00:00+00'),
			(SELECT max(p.at) FROM claimcheck_periods AS p WHERE p.at <= changes.at)) ELSE '-infinity' END,
		status, backend_name, queue_name, task_path, n
	FROM changes WHERE at < $1::timestamptz
), periods AS (
	INSERT INTO claimcheck_periods AS p (at, status, backend_name, queue_name, task_path, n)
	SELECT at, status, backend_name, queue_name, task_path, sum(n) FROM added GROUP BY 1, 2, 3, 4, 5 HAVING sum(n) <> 0
	ON CONFLICT (at, status, backend_name, queue_name, task_path) DO UPDATE SET n = p.n + excluded.n
), totals AS (
	INSERT INTO claimcheck_totals AS t (status, backend_name, queue_name, n)
	SELECT status, backend_name, queue_name, sum(n) FROM added GROUP BY 1, 2, 3 HAVING sum(n) <> 0
	ON CONFLICT (status, backend_name, queue_name) DO UPDATE SET n = t.n + excluded.n
)
UPDATE claimcheck_counting SET counted_to = $2::timestamptz, period = $3::timestamptz,
	period_rows = $4::int8 + coalesce((SELECT sum(n) FROM counted), 0), mark_at = $5::timestamptz, mark_xid = nullif($6::int8, 0)
RETURNING ARRAY(SELECT DISTINCT at FROM added WHERE at < $3::timestamptz)`

// dropPeriodsQuery removes what has been purged.
const dropPeriodsQuery = `DELETE FROM claimcheck_periods WHERE at = ANY($1::timestamptz[]) AND n = 0`

// counting is the row of claimcheck_counting, and what a step makes of it.
type counting struct {
	limits     countLimits
	to         pgtype.Timestamptz // rows that finished before are counted
	period     pgtype.Timestamptz
	periodRows int64
	mark       countMark
	checked    pgtype.Timestamptz
}

// countLimits are countRows, periodRows, and lateFinish with clockMargin.
type countLimits struct {
	rows, period int
	lag          time.Duration
}

var defaultCounts = countLimits{rows: countRows, period: periodRows, lag: lateFinish + clockMargin}

type countMark struct {
	at  pgtype.Timestamptz // not valid: there is none
	xid int64
}

// CountFinished counts finished rows ahead of [Store.Stats] and the other statistics, up
// to some seconds ago: at most countRows of each status, so that more may be left. It
// returns at once if another process is counting.
func (s *Store) CountFinished(ctx context.Context) (more bool, err error) {
	err = s.with(ctx, "count finished tasks", use{ownTransaction: true}, func(conn *pgx.Conn) error {
		return pgx.BeginTxFunc(ctx, conn, readCommitted, func(tx pgx.Tx) (err error) {
			c, ok, err := beginCount(ctx, tx)
			if err == nil && ok {
				c.limits = s.counts
				more, err = c.step(ctx, tx)
			}
			if err == nil && ok && !more {
				err = c.check(ctx, tx)
			}
			return err
		})
	})
	if errors.Is(err, errCountAnew) {
		return true, nil
	}
	return more && err == nil, err
}

// beginCount reads what is counted. It reports false if another process is counting.
func beginCount(ctx context.Context, tx pgx.Tx) (c counting, ok bool, err error) {
	var ignored string
	if err := tx.QueryRow(ctx, lockCountQuery).Scan(&ok, &ignored); err != nil || !ok {
		return c, false, err
	}
	read := func() error {
		return tx.QueryRow(ctx, countingQuery).Scan(&c.to, &c.period, &c.periodRows, &c.mark.at, &c.mark.xid, &c.checked)
	}
	if err = read(); !errors.Is(err, pgx.ErrNoRows) {
		return c, err == nil, err
	}
	for _, statement := range []string{
		`DELETE FROM claimcheck_totals`, `DELETE FROM claimcheck_periods`, `DELETE FROM claimcheck_changes`,
		`INSERT INTO claimcheck_counting (counted_to) VALUES ('-infinity')`,
	} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return c, false, err
		}
	}
	err = read()
	return c, err == nil, err
}

// earliestHour: what finished earlier is one period, from -infinity. It is in
// countStepQuery too.
var earliestHour = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)

// step counts the rows of one period or of a part of it.
func (c *counting) step(ctx context.Context, tx pgx.Tx) (more bool, err error) {
	safe, err := c.advanceMark(ctx, tx)
	if err != nil {
		return false, err
	}
	upTo, period, rows := c.to, c.period, c.periodRows
	if !safe.IsZero() && (c.to.InfinityModifier != pgtype.Finite || safe.After(c.to.Time)) {
		upTo = timeValue(safe)
		first, err := c.finishedAfter(ctx, tx, c.to, upTo, 0)
		if err != nil {
			return false, err
		}
		switch {
		case !first.Valid:
		case first.InfinityModifier != pgtype.Finite || first.Time.Before(earliestHour): // written by hand
			upTo, period, rows, more = timeValue(earliestHour), c.to, 0, true
		default:
			from := first.Time.Truncate(countGrid)
			if c.to.InfinityModifier == pgtype.Finite && from.Before(c.to.Time) {
				from = c.to.Time
			}
			upTo, err = c.bound(ctx, tx, from, safe)
			if err != nil {
				return false, err
			}
			more = upTo.Time.Before(safe)
			if !period.Valid || !sameHour(period.Time, from) || rows >= int64(c.limits.period) {
				period, rows = timeValue(from), 0
			}
		}
	}
	var changed []pgtype.Timestamptz
	err = tx.QueryRow(ctx, countStepQuery, c.to, upTo, period, rows, c.mark.at, c.mark.xid).Scan(&changed)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, errCountAnew
	}
	if err == nil && len(changed) > 0 {
		_, err = tx.Exec(ctx, dropPeriodsQuery, changed)
	}
	c.to, c.period = upTo, period
	return more, err
}

// errCountAnew ends a step whose row of claimcheck_counting was deleted meanwhile.
var errCountAnew = errors.New("the row of claimcheck_counting was deleted")

func sameHour(a, b time.Time) bool { return a.Truncate(time.Hour).Equal(b.Truncate(time.Hour)) }

// advanceMark returns until when rows can be counted, zero if that is unknown, and
// replaces a mark that has done its service.
func (c *counting) advanceMark(ctx context.Context, tx pgx.Tx) (safe time.Time, err error) {
	var fresh countMark
	if err := tx.QueryRow(ctx, markQuery).Scan(&fresh.at, &fresh.xid); err != nil {
		return safe, err
	}
	old := c.mark
	if old.xid > fresh.xid || old.at.Valid && old.at.Time.After(fresh.at.Time) { // it is of another server: this database is a copy
		old = countMark{}
	}
	for _, mark := range []countMark{fresh, old} {
		var settled bool
		if !mark.at.Valid {
			continue
		}
		if err := tx.QueryRow(ctx, settledQuery, mark.xid).Scan(&settled); err != nil {
			return safe, err
		}
		if settled {
			c.mark = fresh
			return mark.at.Time.Add(-c.limits.lag).Truncate(countGrid), nil
		}
	}
	if !old.at.Valid {
		c.mark = fresh
	}
	return safe, nil
}

// bound returns the end of a step from a time: it is in the same hour, not after
// safe, and has at most countRows of each status before it if they can be divided.
func (c *counting) bound(ctx context.Context, tx pgx.Tx, from, safe time.Time) (pgtype.Timestamptz, error) {
	end := from.Truncate(time.Hour).Add(time.Hour)
	if safe.Before(end) {
		end = safe
	}
	many, err := c.finishedAfter(ctx, tx, timeValue(from), timeValue(end), c.limits.rows)
	if err != nil || !many.Valid {
		return timeValue(end), err
	}
	if end = many.Time.Truncate(countGrid); !end.After(from) {
		end = from.Add(countGrid)
	}
	return timeValue(end), nil
}

func (c *counting) finishedAfter(ctx context.Context, tx pgx.Tx, from, to pgtype.Timestamptz, rows int) (at pgtype.Timestamptz, err error) {
	err = tx.QueryRow(ctx, nthFinishedQuery, from, to, rows).Scan(&at)
	return at, err
}

var _ queue.Counter = (*Store)(nil)
