package pgstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
)

// within returns f as a condition to append, and its arguments, the first of which has
// the given number.
func within(f queue.Filter, number int) (condition string, args []any) {
	for _, c := range []struct{ column, name string }{{"queue_name", f.Queue}, {"backend_name", f.Backend}} {
		if c.name != "" {
			condition += fmt.Sprintf(" AND %s = $%d::text", c.column, number+len(args))
			args = append(args, c.name)
		}
	}
	return condition, args
}

// counted is until when rows are counted ahead, and no row if nothing is: see count.go.
const counted = `counted AS MATERIALIZED (SELECT counted_to FROM claimcheck_counting)`

// finalCount counts the rows of a final status that a filter selects. The upper bound
// of finished_at excludes nothing: with it the planner expects few rows and takes the
// index.
func finalCount(status queue.Status, filter string) string {
	return fmt.Sprintf(`(SELECT count(*) FROM claimcheck_tasks WHERE status = '%[1]s' AND finished_at >= coalesce((SELECT counted_to FROM counted), '-infinity') AND finished_at <= 'infinity'%[2]s)
	+ coalesce((SELECT sum(n) FROM claimcheck_totals, counted WHERE status = '%[1]s'%[2]s), 0)::int8
	+ coalesce((SELECT sum(n) FROM claimcheck_changes, counted WHERE status = '%[1]s' AND at < counted_to%[2]s), 0)::int8`, status, filter)
}

// isDue and isLater divide the READY rows: those that can run, whether or not Promote
// has made them claimable, and those that wait for their time. dueAt is since when a row
// that is due has been so.
const (
	isDue   = `coalesce(retry_at, run_after, '-infinity') <= now()`
	isLater = `coalesce(retry_at, run_after) > now()`
	dueAt   = `greatest(enqueued_at, coalesce(retry_at, run_after))`
	// isStranded is the condition of the READY rows that should have been claimed, and
	// could have been.
	isStranded = `dispatch_due_at <= now() AND ` + notPaused
)

// statsQuery counts the rows of each status by its own index, in one statement and
// therefore at one time. Indexes: claimcheck_tasks_waiting, which has all columns that
// are read of READY rows, _lease and, for what is not counted ahead of the final
// statuses, _finished.
func statsQuery(f queue.Filter) (string, []any) {
	filter, args := within(f, 1)
	return `WITH ` + counted + `
SELECT ready.pending, ready.oldest, ready.newest, ready.later, ready.stranded, ready.stranded_since,
	(SELECT count(*) FROM claimcheck_tasks WHERE status = 'RUNNING'` + filter + `),
	` + finalCount(queue.StatusSuccessful, filter) + `,
	` + finalCount(queue.StatusFailed, filter) + `,
	` + finalCount(queue.StatusCancelled, filter) + `
FROM (
	SELECT count(*) FILTER (WHERE ` + isDue + `) AS pending, count(*) FILTER (WHERE ` + isLater + `) AS later,
		min(` + dueAt + `) FILTER (WHERE ` + isDue + `) AS oldest, max(` + dueAt + `) FILTER (WHERE ` + isDue + `) AS newest,
		count(*) FILTER (WHERE ` + isStranded + `) AS stranded, min(least(dispatch_due_at, ` + dueAt + `)) FILTER (WHERE ` + isStranded + `) AS stranded_since
	FROM claimcheck_tasks WHERE status = 'READY'` + filter + `
) AS ready`, args
}

// Stats counts rows by status.
func (s *Store) Stats(ctx context.Context, f queue.Filter) (stats queue.Stats, err error) {
	query, args := statsQuery(f)
	err = s.on(ctx, "count tasks", func(conn *pgx.Conn) error {
		var oldest, newest, stranded moment
		err := conn.QueryRow(ctx, query, args...).Scan(&stats.Pending, &oldest, &newest, &stats.Delayed, &stats.Stranded, &stranded,
			&stats.Running, &stats.Successful, &stats.Failed, &stats.Cancelled)
		stats.OldestPendingSince, stats.NewestPendingSince, stats.OldestStrandedSince = time.Time(oldest), time.Time(newest), time.Time(stranded)
		return err
	})
	if err != nil {
		return queue.Stats{}, err
	}
	return stats, nil
}

// byQueue groups rows by their queue. The constant excludes nothing, but its type has no
// order, so that the planner has to hash. It expects few rows and would sort them, which
// takes longer than everything else here when there are many.
const byQueue = ` GROUP BY backend_name, queue_name, xid '0'`

// queuesQuery: indexes: claimcheck_tasks_waiting for the rows that are READY, in its
// order, _lease, and the last hour of _finished.
const queuesQuery = `WITH ` + queueParts + `
SELECT backend_name, queue_name, coalesce(live.pending, 0), coalesce(live.delayed, 0), coalesce(running.n, 0), coalesce(running.expired, 0),
	coalesce(live.stranded, 0), live.oldest, coalesce(ended.succeeded, 0), coalesce(ended.failed, 0)
FROM ` + joinedParts + `
ORDER BY backend_name, queue_name`

// queueParts and joinedParts are the queues with their statistics. What has ended within an
// hour is counted by the periods that began within it (count.go), and by their index the
// rows that ended before the first of these, or are not counted ahead yet.
const (
	queueParts = `live AS (
	SELECT backend_name, queue_name, count(*) FILTER (WHERE ` + isDue + `) AS pending, count(*) FILTER (WHERE ` + isLater + `) AS delayed,
		count(*) FILTER (WHERE ` + isStranded + `) AS stranded, min(` + dueAt + `) FILTER (WHERE ` + isDue + `) AS oldest
	FROM claimcheck_tasks WHERE status = 'READY' GROUP BY backend_name, queue_name
), running AS (
	SELECT backend_name, queue_name, count(*) AS n, count(*) FILTER (WHERE lease_expires_at < now()) AS expired
	FROM claimcheck_tasks WHERE status = 'RUNNING'` + byQueue + `
), ` + counted + `, bounds AS MATERIALIZED (
	SELECT first.at AS first, greatest(first.at, (SELECT counted_to FROM counted)) AS rest
	FROM (SELECT coalesce((SELECT min(at) FROM claimcheck_periods WHERE at > now() - interval '1 hour' AND EXISTS (SELECT FROM counted)), 'infinity') AS at) AS first
), ended AS (
	SELECT backend_name, queue_name, coalesce(sum(n) FILTER (WHERE status = 'SUCCESSFUL'), 0)::int8 AS succeeded, coalesce(sum(n) FILTER (WHERE status = 'FAILED'), 0)::int8 AS failed FROM (
		SELECT backend_name, queue_name, status, n FROM claimcheck_periods WHERE at >= (SELECT first FROM bounds)
		UNION ALL
		SELECT backend_name, queue_name, status, n FROM claimcheck_changes WHERE at >= (SELECT first FROM bounds) AND at < (SELECT counted_to FROM counted)
		UNION ALL
		SELECT backend_name, queue_name, status, 1 FROM claimcheck_tasks
		WHERE status IN ('SUCCESSFUL', 'FAILED') AND finished_at IS NOT NULL AND finished_at > now() - interval '1 hour' AND finished_at < (SELECT first FROM bounds)
		UNION ALL
		SELECT backend_name, queue_name, status, 1 FROM claimcheck_tasks
		WHERE status IN ('SUCCESSFUL', 'FAILED') AND finished_at IS NOT NULL AND finished_at >= (SELECT rest FROM bounds) AND finished_at < 'infinity'
	) AS parts WHERE status IN ('SUCCESSFUL', 'FAILED')` + byQueue + ` HAVING coalesce(sum(n), 0) <> 0
)`
	joinedParts = `live FULL JOIN running USING (backend_name, queue_name) FULL JOIN ended USING (backend_name, queue_name)`
)

// Queues returns the statistics of each queue that has unfinished rows, or rows that
// ended within the last hour.
func (s *Store) Queues(ctx context.Context) (queues []queue.QueueStats, err error) {
	err = s.on(ctx, "count tasks by queue", func(conn *pgx.Conn) error {
		queues = nil
		result, err := conn.Query(ctx, queuesQuery)
		if err != nil {
			return err
		}
		var q queue.QueueStats
		_, err = pgx.ForEachRow(result, []any{
			&q.Backend, &q.Queue, &q.Pending, &q.Delayed, &q.Running, &q.Expired, &q.Stranded, (*moment)(&q.OldestSince), &q.Succeeded, &q.Failed,
		}, func() error {
			queues = append(queues, q)
			return nil
		})
		return err
	})
	return queues, err
}

// failureGroups groups the FAILED rows that ended since the first of two times; those of
// Recent, since the second. Index: claimcheck_tasks_finished, from its end.
func failureGroups(since, recent string) string {
	return fmt.Sprintf(`
SELECT task_path, coalesce(error_group, '') AS error_group, count(*) AS n, count(*) FILTER (WHERE finished_at >= %s::timestamptz) AS recent,
	count(*) FILTER (WHERE finished_at > now() - interval '1 hour') AS last_hour, count(*) FILTER (WHERE attempts < max_attempts) AS permanent,
	max(finished_at) AS last, coalesce(max(error_text), '') AS error_text
FROM (
	SELECT task_path, error_group, finished_at, error_text, attempts, max_attempts FROM claimcheck_tasks
	WHERE status = 'FAILED' AND finished_at IS NOT NULL AND finished_at >= %s::timestamptz
	ORDER BY finished_at DESC LIMIT %d
) AS latest
GROUP BY 1, 2 ORDER BY 3 DESC, last DESC, 1, 2 LIMIT $2::int8`, recent, since, queue.FailuresWindow)
}

var failuresQuery = failureGroups("$1", "$1")

// Failures groups the rows that FAILED since a time.
func (s *Store) Failures(ctx context.Context, since time.Time, limit int) (groups []queue.FailureGroup, err error) {
	err = s.on(ctx, "group failed tasks", func(conn *pgx.Conn) error {
		groups = nil
		result, err := conn.Query(ctx, failuresQuery, timeValue(since), limit)
		if err != nil {
			return err
		}
		var g queue.FailureGroup
		_, err = pgx.ForEachRow(result, []any{&g.Task, &g.Group, &g.Count, &g.Recent, &g.LastHour, &g.Permanent, (*moment)(&g.Last), &g.Error}, func() error {
			groups = append(groups, g)
			return nil
		})
		return err
	})
	return groups, err
}
