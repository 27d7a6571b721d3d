package sqlstore

import (
	"context"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// countReady counts rows of a backend and a queue up to a limit. Index:
// claimcheck_tasks_outbox.
func (d *Dialect) countReady() string {
	return `SELECT count(*) FROM (SELECT 1 AS one FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_outbox") + `
		WHERE ` + d.readyOf + ` AND queue_name = ? LIMIT ?) AS ready`
}

// CountReady counts the READY rows of a queue, up to limit. It counts in tx if there is
// one: as many callers' transactions as the pool has connections would wait for another.
func (s *Store) CountReady(ctx context.Context, tx queue.Tx, backend, name string, limit int) (n int, err error) {
	const op = "count backlog"
	count := func(ctx context.Context, q querier) error {
		return q.QueryRowContext(ctx, s.dialect.countReady(), backend, name, limit).Scan(&n)
	}
	if tx != nil {
		err = s.in(ctx, op, tx, count)
		return n, err
	}
	err = s.read(ctx, op, func(conn querier) error { return count(ctx, conn) })
	return n, err
}

// Existing reports which rows an insert would not store.
func (s *Store) Existing(ctx context.Context, tx queue.Tx, rows ...*queue.NewRow) (exist []bool, err error) {
	const op = "look for tasks"
	look := atNow(func(ctx context.Context, q querier, now time.Time) (err error) {
		exist, err = storekit.Existing(ctx, &keyedInserter{tx: q, now: now}, rows) // without a lock: the insert confirms what is found
		return s.keyConflict(ctx, op, tx, rows, err)
	})
	if tx != nil {
		err = s.in(ctx, op, tx, look)
		return exist, err
	}
	err = s.read(ctx, op, func(conn querier) error { return look(ctx, conn) })
	return exist, err
}
