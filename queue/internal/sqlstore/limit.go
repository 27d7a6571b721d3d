package sqlstore

import (
	"context"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

var _ queue.Limiter = (*Store)(nil)

const (
	limitsQuery = `SELECT kind, name, coalesce(running, 0), coalesce(starts, 0), coalesce(per_us, 0), CASE WHEN origin = 'code' THEN 1 ELSE 0 END FROM claimcheck_gates`
	isLimit     = `(running IS NOT NULL OR starts IS NOT NULL)`
)

func readLimits(ctx context.Context, q querier, rest string, args ...any) (limits []queue.Limit, err error) {
	err = each(ctx, q, func(scan func(...any) error) error {
		var l queue.Limit
		var per int64
		err := scan(&l.Kind, &l.Name, &l.Running, &l.Starts, &per, &l.Code)
		l.Per = time.Duration(per) * time.Microsecond
		limits = append(limits, l)
		return err
	}, limitsQuery+rest, args...)
	return limits, err
}

// SetLimit sets, changes or removes a limit.
func (s *Store) SetLimit(ctx context.Context, r queue.LimitChange) (now queue.Limit, err error) {
	if err := r.Check(); err != nil {
		return r.Limit(queue.Limit{}), err
	}
	origin := "operator"
	if r.Code {
		origin = "code"
	}
	one := ` WHERE kind = ? AND name = ?`
	err = s.write(ctx, "set limit", func(ctx context.Context, tx querier, _ time.Time) error {
		limits, err := readLimits(ctx, tx, one+s.dialect.lockRow, r.Kind, r.Name)
		if err == nil && len(limits) == 0 {
			// Another transaction may insert it in the meantime: then its part is kept.
			err = putNew(ctx, tx, statement{`INSERT INTO claimcheck_gates (kind, name, origin) VALUES (?, ?, 'code')`, []any{r.Kind, r.Name}})
			if err == nil {
				limits, err = readLimits(ctx, tx, one+s.dialect.lockRow, r.Kind, r.Name)
			}
		}
		if err != nil {
			return err
		}
		var old queue.Limit
		if len(limits) > 0 {
			old = limits[0]
		}
		if len(limits) > 0 && r.Code && !r.Reset && !old.Code {
			now = old
			return nil
		}
		now = r.Limit(old)
		now.Per = now.Per.Truncate(time.Microsecond)
		_, err = tx.ExecContext(ctx, `UPDATE claimcheck_gates SET running = ?, starts = ?, per_us = ?, origin = ?`+one,
			nonZero(now.Running), nonZero(now.Starts), nonZero(now.Per.Microseconds()), origin, r.Kind, r.Name)
		return err
	})
	if err != nil {
		return r.Limit(queue.Limit{}), err
	}
	return now, nil
}

// Limits returns the limits.
func (s *Store) Limits(ctx context.Context) (limits []queue.Limit, err error) {
	err = s.read(ctx, "read limits", func(conn querier) error {
		limits, err = readLimits(ctx, conn, ` WHERE `+isLimit+` ORDER BY kind, name`)
		return err
	})
	return limits, err
}

// TidyLimits removes the records of starts that are over, and of limits that are not used.
func (s *Store) TidyLimits(ctx context.Context) error {
	return s.write(ctx, "remove unused limits", func(ctx context.Context, tx querier, now time.Time) error {
		type slot struct {
			kind, name, key string
			n               int64
		}
		var old []slot
		err := each(ctx, tx, func(scan func(...any) error) error {
			var o slot
			err := scan(&o.kind, &o.name, &o.key, &o.n)
			old = append(old, o)
			return err
		}, `SELECT s.kind, s.name, s.limit_key, s.n FROM claimcheck_slots AS s LEFT JOIN claimcheck_gates AS g ON g.kind = s.kind AND g.name = s.name
			WHERE s.used_at <= ? - coalesce(g.per_us, 0) AND s.used_at <= ? ORDER BY s.used_at LIMIT 500`, micros(now), micros(now.Add(-time.Minute)))
		for _, o := range old {
			if err == nil {
				_, err = tx.ExecContext(ctx, `DELETE FROM claimcheck_slots WHERE kind = ? AND name = ? AND limit_key = ? AND n = ? AND used_at <= ?`, o.kind, o.name, o.key, o.n, micros(now.Add(-time.Minute)))
			}
		}
		return err
	})
}

// limitsWait is how many rows wait for a limit: one or none. Index:
// claimcheck_tasks_limited.
func (d *Dialect) limitsWait() string {
	return `EXISTS (SELECT 1 FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_limited") + ` WHERE ` + d.limited + `)`
}

const limitsExist = `EXISTS (SELECT 1 FROM claimcheck_gates WHERE ` + isLimit + `)`
