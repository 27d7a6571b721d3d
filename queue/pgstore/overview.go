package pgstore

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
)

// overviewQuery is the queues and the groups of failures in one statement, and therefore
// at one moment.
var overviewQuery = `WITH ` + queueParts + `, failures AS (` + failureGroups("'-infinity'", "$1") + `)
SELECT true AS is_queue, backend_name AS first, queue_name AS second, '' AS text, coalesce(live.pending, 0), coalesce(live.delayed, 0), coalesce(running.n, 0),
	coalesce(running.expired, 0), coalesce(live.stranded, 0), coalesce(ended.succeeded, 0), coalesce(ended.failed, 0), live.oldest
FROM ` + joinedParts + `
UNION ALL
SELECT false, task_path, error_group, error_text, n, recent, last_hour, permanent, 0, 0, 0, last FROM failures
ORDER BY is_queue, 5 DESC, 12 DESC, first, second`

// Overview returns what Queues and Failures do, at one moment.
func (s *Store) Overview(ctx context.Context, r queue.OverviewRequest) (o queue.Overview, err error) {
	err = s.on(ctx, "count tasks by queue and failure", func(conn *pgx.Conn) error {
		o = queue.Overview{}
		result, err := conn.Query(ctx, overviewQuery, timeValue(r.Since), r.Groups)
		if err != nil {
			return err
		}
		var isQueue bool
		var first, second, text string
		var n [7]int
		var at moment
		into := []any{&isQueue, &first, &second, &text}
		for i := range n {
			into = append(into, &n[i])
		}
		_, err = pgx.ForEachRow(result, append(into, &at), func() error {
			if isQueue {
				o.Queues = append(o.Queues, queue.QueueStats{
					Backend: first, Queue: second, Pending: n[0], Delayed: n[1], Running: n[2], Expired: n[3], Stranded: n[4], Succeeded: n[5], Failed: n[6], OldestSince: time.Time(at),
				})
			} else {
				o.Failures = append(o.Failures, queue.FailureGroup{Task: first, Group: second, Error: text, Count: n[0], Recent: n[1], LastHour: n[2], Permanent: n[3], Last: time.Time(at)})
			}
			return nil
		})
		slices.SortFunc(o.Queues, func(a, b queue.QueueStats) int {
			return cmp.Or(cmp.Compare(a.Backend, b.Backend), cmp.Compare(a.Queue, b.Queue))
		})
		return err
	})
	return o, err
}
