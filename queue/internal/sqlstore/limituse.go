package sqlstore

import (
	"context"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// LimitUse returns how much of the limits is used.
func (s *Store) LimitUse(ctx context.Context, row *queue.Row) (list []queue.LimitUse, err error) {
	err = s.read(ctx, "read limits", func(conn querier) error {
		limits, err := readLimits(ctx, conn, ` WHERE `+isLimit+` ORDER BY kind, name`)
		use := storekit.NewUse(limits, row)
		if list = use.List(); err != nil || len(list) == 0 {
			return err
		}
		now, err := conn.now(ctx)
		if err != nil {
			return err
		}
		if err := countRunning(ctx, conn, use); err != nil {
			return err
		}
		if err := eachAdmitted(ctx, conn, now, func(id string, lane storekit.Lane) {
			if row == nil || id != row.ID.String() { // a row is not before itself
				use.Choose(lane, 1)
			}
		}); err != nil {
			return err
		}
		return countUsedStarts(ctx, conn, use, now)
	})
	return list, err
}

// countRunning counts the tasks that run.
func countRunning(ctx context.Context, q querier, use *storekit.Use) error {
	return each(ctx, q, func(scan func(...any) error) error {
		var id string
		var lane storekit.Lane
		var lease time.Time
		err := scan(&id, &lane.Backend, &lane.Queue, &lane.Task, &lane.Key, at(&lease))
		use.Run(lane, 1)
		return err
	}, q.store.dialect.runningQuery())
}

// countUsedStarts counts the starts within the periods of their limits.
func countUsedStarts(ctx context.Context, q querier, use *storekit.Use, now time.Time) error {
	return each(ctx, q, func(scan func(...any) error) error {
		var scope storekit.Scope
		var n int
		var per int64
		var first time.Time
		err := scan(&scope.Kind, &scope.Name, &scope.Key, &n, &per, at(&first))
		use.Start(scope, n, first.Add(time.Duration(per)*time.Microsecond).Sub(now))
		return err
	}, `SELECT s.kind, s.name, s.limit_key, count(*), min(g.per_us), min(s.used_at) FROM claimcheck_slots AS s JOIN claimcheck_gates AS g ON g.kind = s.kind AND g.name = s.name
		WHERE g.starts IS NOT NULL AND s.n > 0 AND s.used_at > ? - g.per_us GROUP BY s.kind, s.name, s.limit_key`, micros(now))
}
