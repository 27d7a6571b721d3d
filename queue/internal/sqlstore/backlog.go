package sqlstore

import "context"

// countReady counts rows of a backend and a queue up to a limit. Index:
// claimcheck_tasks_outbox.
func (d *Dialect) countReady() string {
	return `SELECT count(*) FROM (SELECT 1 AS one FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_outbox") + `
		WHERE ` + d.readyOf + ` AND queue_name = ? LIMIT ?) AS ready`
}

// CountReady counts the READY rows of a queue, up to limit.
func (s *Store) CountReady(ctx context.Context, backend, queue string, limit int) (n int, err error) {
	err = s.read(ctx, "count backlog", func(conn querier) error {
		return conn.QueryRowContext(ctx, s.dialect.countReady(), backend, queue, limit).Scan(&n)
	})
	return n, err
}
