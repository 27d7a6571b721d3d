package pgstore

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/claimcheck-go/claimcheck/queue"
)

// dispatchFailedQuery: index: the primary key.
var dispatchFailedQuery = `
UPDATE claimcheck_tasks SET dispatch_error = $2::text, dispatch_due_at = CASE WHEN hold = 2 THEN ` + parkedNow + ` ELSE now() END, dispatch_tries = greatest(dispatch_tries - $3::int8, 0)
WHERE id = ANY(ARRAY(SELECT id FROM claimcheck_tasks WHERE id = ANY($1::uuid[]) AND ` + isReady + ` FOR UPDATE SKIP LOCKED))`

// sweeps is how many of the sweeper's dispatches a refused one was.
func sweeps(swept bool) int64 {
	if swept {
		return 1
	}
	return 0
}

// DispatchFailed records on READY rows that creating their Cloud Tasks failed.
func (s *Store) DispatchFailed(ctx context.Context, reason string, swept bool, ids ...uuid.UUID) error {
	values := make([]pgtype.UUID, len(ids))
	for i, id := range ids {
		values[i] = uuidValue(id)
	}
	return s.on(ctx, "note failed dispatch", func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, dispatchFailedQuery, values, reason, sweeps(swept))
		return err
	})
}

// strandedQueuesQuery goes from queue to queue, and reads the first row of each. Index: claimcheck_tasks_waiting.
const strandedQueuesQuery = `
WITH RECURSIVE queues AS (
	(SELECT queue_name FROM claimcheck_tasks WHERE status = 'READY' AND backend_name = $1::text
		ORDER BY queue_name LIMIT 1)
	UNION ALL
	SELECT (SELECT t.queue_name FROM claimcheck_tasks t WHERE t.status = 'READY' AND t.backend_name = $1::text AND t.queue_name > q.queue_name
		ORDER BY t.queue_name LIMIT 1)
	FROM queues q WHERE q.queue_name IS NOT NULL
)
SELECT queue_name, now() FROM queues WHERE ` + notPaused + ` AND now() >= (
	SELECT t.dispatch_due_at FROM claimcheck_tasks t WHERE t.status = 'READY' AND t.backend_name = $1::text AND t.queue_name = queues.queue_name
	ORDER BY t.dispatch_due_at LIMIT 1)`

// StrandedQueues returns the queues of a backend that have stranded rows.
func (s *Store) StrandedQueues(ctx context.Context, backend string) (queues []queue.StrandedQueue, err error) {
	err = s.on(ctx, "find stranded tasks", func(conn *pgx.Conn) error {
		queues = nil
		result, err := conn.Query(ctx, strandedQueuesQuery, backend)
		if err != nil {
			return err
		}
		q := queue.StrandedQueue{Backend: backend}
		_, err = pgx.ForEachRow(result, []any{&q.Queue, (*moment)(&q.At)}, func() error {
			queues = append(queues, q)
			return nil
		})
		return err
	})
	return queues, err
}

// takeStrandedQuery decides under the row's lock whether it is still stranded. It
// clears the previous dispatch error, which DispatchFailed records again if this
// dispatch fails too, and returns no columns that may be long.
// Indexes: claimcheck_tasks_waiting, from the start of the queue and in its
// order; then the primary key.
var takeStrandedQuery = fmt.Sprintf(`
UPDATE claimcheck_tasks SET dispatch_tries = dispatch_tries + 1, dispatch_error = NULL,
	dispatch_due_at = greatest(now(), run_after) + least(%s * 2 ^ least(dispatch_tries, 30), %s)
WHERE id = ANY(ARRAY(
	SELECT id FROM claimcheck_tasks
	WHERE status = 'READY' AND backend_name = $1::text AND queue_name = $2::text AND dispatch_due_at <= $3::timestamptz AND `+notPaused+`
		AND (run_after IS NULL OR run_after <= now() + %s)
	ORDER BY dispatch_due_at
	LIMIT $4::int8 FOR UPDATE SKIP LOCKED))
RETURNING `+lightColumns, interval(queue.FirstStrandedPause), interval(queue.LongestStrandedPause), interval(queue.ArmWithin))

// TakeStranded takes up to limit stranded rows of a queue for dispatching.
func (s *Store) TakeStranded(ctx context.Context, q queue.StrandedQueue, limit int) (rows []*queue.Row, err error) {
	err = s.on(ctx, "take stranded tasks", func(conn *pgx.Conn) error {
		rows, err = many(conn.Query(ctx, takeStrandedQuery, q.Backend, q.Queue, timeValue(q.At), limit))
		return err
	})
	return rows, err
}
