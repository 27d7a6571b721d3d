package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// The parts of an overview, with the same columns: what the row is about, three texts, four
// numbers and a time. Together they are one statement, and therefore as of one moment.
// Indexes: claimcheck_tasks_outbox or _finished for what is READY (the database chooses),
// _lease, the last hour of _finished, and _finished from its end.
const (
	isPending    = `(hold = 0 OR hold >= 2 AND retry_at IS NULL AND run_after IS NULL OR coalesce(retry_at, run_after) <= ?)`
	readyByQueue = `SELECT 'ready' AS part, backend_name AS a, queue_name AS b, '' AS text, sum(CASE WHEN ` + isPending + ` THEN 1 ELSE 0 END) AS n1,
	sum(CASE WHEN hold <> 0 AND coalesce(retry_at, run_after) > ? THEN 1 ELSE 0 END) AS n2, sum(CASE WHEN dispatch_due_at <= ?` + andNotGated + ` THEN 1 ELSE 0 END) AS n3, 0 AS n4,
	min(CASE WHEN ` + isPending + ` THEN ` + waitingSince + ` END) AS at
	FROM claimcheck_tasks WHERE status = 'READY' GROUP BY backend_name, queue_name`
	runningByQueue = `SELECT 'running' AS part, backend_name, queue_name, '' AS text, count(*) AS n1, sum(CASE WHEN lease_expires_at < ? THEN 1 ELSE 0 END) AS n2, 0 AS n3, 0 AS n4, NULL AS at
	FROM claimcheck_tasks WHERE status = 'RUNNING' GROUP BY backend_name, queue_name`
	endedByQueue = `SELECT 'ended' AS part, backend_name, queue_name, status, count(*) AS n1, 0 AS n2, 0 AS n3, 0 AS n4, NULL AS at FROM claimcheck_tasks
	WHERE status IN ('SUCCESSFUL', 'FAILED') AND finished_at IS NOT NULL AND finished_at > ? GROUP BY backend_name, queue_name, status`
)

// failureGroups are the FAILED rows that ended since a time, grouped.
var failureGroups = fmt.Sprintf(`SELECT 'failed' AS part, task_path, coalesce(error_group, '') AS b, coalesce(max(error_text), '') AS text, count(*) AS n1,
	sum(CASE WHEN finished_at >= ? THEN 1 ELSE 0 END) AS n2, sum(CASE WHEN finished_at > ? THEN 1 ELSE 0 END) AS n3,
	sum(CASE WHEN attempts < max_attempts THEN 1 ELSE 0 END) AS n4, max(finished_at) AS at
	FROM (SELECT task_path, error_group, finished_at, error_text, attempts, max_attempts FROM claimcheck_tasks
		WHERE status = 'FAILED' AND finished_at IS NOT NULL AND finished_at >= ? ORDER BY finished_at DESC LIMIT %d) AS latest
	GROUP BY 2, 3 ORDER BY n1 DESC, at DESC, 2, 3 LIMIT ?`, queue.FailuresWindow)

// overviewPart is one part with its arguments.
type overviewPart struct {
	query string
	args  []any
}

// queueParts are those of the queues.
func queueParts(now time.Time) []overviewPart {
	at := micros(now)
	return []overviewPart{
		{readyByQueue, []any{at, at, at, at}}, {runningByQueue, []any{at}}, {endedByQueue, []any{micros(now.Add(-time.Hour))}},
	}
}

// failuresPart is that of the failures since a time.
func failuresPart(now, since, recent time.Time, limit int) overviewPart {
	return overviewPart{failureGroups, []any{micros(recent), micros(now.Add(-time.Hour)), micros(since), limit}}
}

// overview reads parts in one statement.
func (s *Store) overview(ctx context.Context, op string, parts func(now time.Time) []overviewPart) (o queue.Overview, err error) {
	type name struct{ backend, queue string }
	err = s.read(ctx, op, func(conn querier) error {
		o = queue.Overview{}
		now, err := conn.now(ctx)
		if err != nil {
			return err
		}
		var queries []string
		var args []any
		for _, part := range parts(now) {
			queries = append(queries, "SELECT * FROM ("+part.query+") AS part_"+fmt.Sprint(len(queries)))
			args = append(args, part.args...)
		}
		found := make(map[name]*queue.QueueStats)
		err = each(ctx, conn, func(scan func(...any) error) error {
			var part, a, b, text string
			var n [4]int
			var when time.Time
			if err := scan(&part, &a, &b, &text, &n[0], &n[1], &n[2], &n[3], at(&when)); err != nil {
				return err
			}
			if part == "failed" {
				o.Failures = append(o.Failures, queue.FailureGroup{Task: a, Group: b, Error: text, Count: n[0], Recent: n[1], LastHour: n[2], Permanent: n[3], Last: when})
				return nil
			}
			q := found[name{a, b}]
			if q == nil {
				q = &queue.QueueStats{Backend: a, Queue: b}
				found[name{a, b}] = q
			}
			switch {
			case part == "ready":
				q.Pending, q.Delayed, q.Stranded, q.OldestSince = n[0], n[1], n[2], when
			case part == "running":
				q.Running, q.Expired = n[0], n[1]
			case text == string(queue.StatusFailed):
				q.Failed = n[0]
			default:
				q.Succeeded = n[0]
			}
			return nil
		}, strings.Join(queries, " UNION ALL "), args...)
		for _, q := range found {
			o.Queues = append(o.Queues, *q)
		}
		return err
	})
	if err != nil {
		return queue.Overview{}, err
	}
	slices.SortFunc(o.Queues, func(a, b queue.QueueStats) int {
		return cmp.Or(cmp.Compare(a.Backend, b.Backend), cmp.Compare(a.Queue, b.Queue))
	})
	slices.SortFunc(o.Failures, func(a, b queue.FailureGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), b.Last.Compare(a.Last), cmp.Compare(a.Task, b.Task), cmp.Compare(a.Group, b.Group))
	})
	return o, nil
}

// Overview returns what Queues and Failures do, at one moment.
func (s *Store) Overview(ctx context.Context, r queue.OverviewRequest) (queue.Overview, error) {
	return s.overview(ctx, "count tasks by queue and failure", func(now time.Time) []overviewPart {
		return append(queueParts(now), failuresPart(now, time.Unix(0, 0), r.Since, r.Groups))
	})
}

// Queues returns the stats of each queue that has live rows, or had some lately.
func (s *Store) Queues(ctx context.Context) ([]queue.QueueStats, error) {
	o, err := s.overview(ctx, "count tasks by queue", queueParts)
	return o.Queues, err
}

// Failures groups the rows that have FAILED since then.
func (s *Store) Failures(ctx context.Context, since time.Time, limit int) ([]queue.FailureGroup, error) {
	o, err := s.overview(ctx, "group failed tasks", func(now time.Time) []overviewPart {
		return []overviewPart{failuresPart(now, since, since, limit)}
	})
	return o.Failures, err
}
