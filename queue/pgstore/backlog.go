package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// countReadyQuery: index: claimcheck_tasks_waiting.
const countReadyQuery = `SELECT count(*) FROM (SELECT FROM claimcheck_tasks WHERE status = 'READY' AND backend_name = $1::text AND queue_name = $2::text LIMIT $3::int8) AS rows`

// CountReady counts the READY rows of a queue, up to limit.
func (s *Store) CountReady(ctx context.Context, backend, queue string, limit int) (n int, err error) {
	err = s.on(ctx, "count backlog", func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, countReadyQuery, backend, queue, limit).Scan(&n)
	})
	return n, err
}
