package pgstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
)

// within is f as a condition to be appended, and its arguments, of which the
// first has the given number.
func within(f queue.Filter, number int) (condition string, args []any) {
	for _, c := range []struct{ column, name string }{{"queue_name", f.Queue}, {"backend_name", f.Backend}} {
		if c.name != "" {
			condition += fmt.Sprintf(" AND %s = $%d::text", c.column, number+len(args))
			args = append(args, c.name)
		}
	}
	return condition, args
}

// figuresQuery counts the rows of each state by its own index, in one statement
// and therefore at one moment. Whether Promote has let go what is due makes no
// difference. Indexes: claimcheck_tasks_claim, _held, _outbox, _lease and, for each of the final states, _finished. Without
// a filter the last two need nothing of the table.
func figuresQuery(f queue.Filter) (string, []any) {
	filter, args := within(f, 1)
	final := func(status queue.Status) string {
		return fmt.Sprintf(`(SELECT count(*) FROM claimcheck_tasks WHERE status = '%s' AND finished_at IS NOT NULL%s)`, status, filter)
	}
	waiting := func(hold string) string {
		return `(SELECT count(*) AS n, min(greatest(enqueued_at, coalesce(retry_at, run_after))) AS oldest, max(greatest(enqueued_at, coalesce(retry_at, run_after))) AS newest
		FROM claimcheck_tasks WHERE ` + hold + filter + `)`
	}
	return `SELECT free.n + due.n, least(free.oldest, due.oldest), greatest(free.newest, due.newest), later.n,
	stranded.n, stranded.oldest,
	(SELECT count(*) FROM claimcheck_tasks WHERE status = 'RUNNING'` + filter + `),
	` + final(queue.StatusSuccessful) + `,
	` + final(queue.StatusFailed) + `,
	` + final(queue.StatusCancelled) + `
FROM ` + waiting(`hold = 0`) + ` AS free,
	` + waiting(`hold = 1 AND coalesce(retry_at, run_after) <= now()`) + ` AS due,
	(SELECT count(*) AS n FROM claimcheck_tasks WHERE hold = 1 AND coalesce(retry_at, run_after) > now()` + filter + `) AS later,
	(SELECT count(*) AS n, min(least(dispatch_due_at, greatest(enqueued_at, coalesce(retry_at, run_after)))) AS oldest FROM claimcheck_tasks WHERE status = 'READY' AND dispatch_due_at <= now()` + filter + `) AS stranded`, args
}

// Stats counts rows.
func (s *Store) Stats(ctx context.Context, f queue.Filter) (figures queue.Stats, err error) {
	query, args := figuresQuery(f)
	err = s.on(ctx, "count tasks", func(conn *pgx.Conn) error {
		var oldest, newest, stranded moment
		err := conn.QueryRow(ctx, query, args...).Scan(&figures.Pending, &oldest, &newest, &figures.Delayed, &figures.Stranded, &stranded,
			&figures.Running, &figures.Successful, &figures.Failed, &figures.Cancelled)
		figures.OldestPendingSince, figures.NewestPendingSince, figures.OldestStrandedSince = time.Time(oldest), time.Time(newest), time.Time(stranded)
		return err
	})
	if err != nil {
		return queue.Stats{}, err
	}
	return figures, nil
}
