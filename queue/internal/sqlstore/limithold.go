package sqlstore

import (
	"context"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

const laneFields = `id, backend_name, queue_name, task_path, coalesce(limit_key, '')`

// firstFree are the first rows in the order of claims, whatever keeps them from it. Index:
// claimcheck_tasks_claim.
func (d *Dialect) firstFree() string {
	return `SELECT ` + laneFields + ` FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_claim") + ` WHERE ` + d.free + ` ORDER BY ` + d.freeOrder + ` LIMIT ?`
}

// limitedOf returns those rows of a query of laneFields that limits concern, and that
// accept accepts.
func limitedOf(ctx context.Context, q querier, limits storekit.Limits, accept func(storekit.Lane) bool, query string, args ...any) (ids []any, err error) {
	err = each(ctx, q, func(scan func(...any) error) error {
		var id string
		var lane storekit.Lane
		err := scan(&id, &lane.Backend, &lane.Queue, &lane.Task, &lane.Key)
		if err == nil && accept(lane) && len(limits.Of(lane)) > 0 {
			ids = append(ids, id)
		}
		return err
	}, query, args...)
	return ids, err
}

// unheld reports whether the first rows that could be claimed are such that a limit
// concerns.
func (s *Store) unheld(ctx context.Context) (found bool, err error) {
	err = s.read(ctx, "promote tasks", func(conn querier) error {
		_, g, err := conn.gated(ctx)
		if found = false; err != nil || len(g.limits) == 0 {
			return err
		}
		ids, err := limitedOf(ctx, conn, g.limits, func(l storekit.Lane) bool { return !g.isPaused(l.Queue) }, s.dialect.firstFree(), storekit.UnheldWindow)
		found = len(ids) > 0
		return err
	})
	return found, err
}

// HoldLimited makes rows wait for the limits that concern them. It keeps the limits from
// being changed meanwhile, so that a limit that was removed has no new rows waiting for it.
func (s *Store) HoldLimited(ctx context.Context, backends []string, limit int) (n int, err error) {
	err = s.write(ctx, "hold limited tasks", func(ctx context.Context, tx querier, _ time.Time) error {
		n = 0
		list, err := readLimits(ctx, tx, ` WHERE `+isLimit+s.dialect.lockShared)
		if err != nil || len(list) == 0 {
			return err
		}
		limits := storekit.NewLimits(list)
		_, g, err := tx.gated(ctx)
		if err != nil {
			return err
		}
		accept := func(l storekit.Lane) bool { return slices.Contains(backends, l.Backend) && !g.isPaused(l.Queue) }
		found, err := limitedOf(ctx, tx, limits, accept, s.dialect.firstFree(), limit)
		if err != nil {
			return err
		}
		return inChunks(found, func(some []any) error {
			query := `SELECT ` + laneFields + ` FROM claimcheck_tasks` + s.dialect.byID + ` WHERE id IN (` + marks(len(some)) + `) AND status = 'READY' AND hold = 0` + s.dialect.lockRows
			ids, err := limitedOf(ctx, tx, limits, accept, query, some...)
			if err != nil || len(ids) == 0 {
				return err
			}
			n += len(ids)
			return update(ctx, tx, ids, `hold = 3`)
		})
	})
	return n, err
}
