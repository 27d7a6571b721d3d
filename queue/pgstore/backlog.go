package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// countReadyQuery: index: claimcheck_tasks_waiting.
const countReadyQuery = `SELECT count(*) FROM (SELECT FROM claimcheck_tasks WHERE status = 'READY' AND backend_name = $1::text AND queue_name = $2::text LIMIT $3::int8) AS rows`

// CountReady counts the READY rows of a queue, up to limit. It counts in tx if there is
// one, which may be of the store's own pool: as many of them as that has connections
// would wait for another.
func (s *Store) CountReady(ctx context.Context, tx queue.Tx, backend, queue string, limit int) (n int, err error) {
	const op = "count backlog"
	count := func(q querier) error { return q.QueryRow(ctx, countReadyQuery, backend, queue, limit).Scan(&n) }
	if tx != nil {
		err = s.in(ctx, op, tx, func(tx pgx.Tx) error { return count(tx) })
		return n, err
	}
	err = s.on(ctx, op, func(conn *pgx.Conn) error { return count(conn) })
	return n, err
}

// Existing reports which rows an insert would not store.
func (s *Store) Existing(ctx context.Context, tx queue.Tx, rows ...*queue.NewRow) (exist []bool, err error) {
	const op = "look for tasks"
	if tx != nil {
		err = s.in(ctx, op, tx, func(tx pgx.Tx) (err error) {
			exist, err = storekit.Existing(ctx, keyedInserter{tx, true}, rows)
			return keyConflict(ctx, op, rows, err)
		})
		return exist, err
	}
	err = s.on(ctx, op, func(conn *pgx.Conn) (err error) {
		exist, err = storekit.Existing(ctx, keyedInserter{conn, false}, rows)
		return err
	})
	return exist, err
}
