package pgstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

var _ queue.Limiter = (*Store)(nil)

const (
	limitsExist = `EXISTS (SELECT FROM claimcheck_gates WHERE ` + isLimit + `)`
	// limited is the condition of the rows that a limit concerns.
	limited = `EXISTS (SELECT FROM claimcheck_gates AS g WHERE ` + isLimit + ` AND (g.kind = 'queue' AND g.name = queue_name
		OR g.kind = 'name' AND g.name IN (task_path, limit_key) OR g.kind = 'each' AND g.name = task_path AND limit_key IS NOT NULL))`
	// limitedWait reports whether rows wait for a limit. Index: the first entry of
	// claimcheck_tasks_limited.
	limitedWait = `EXISTS (SELECT FROM claimcheck_tasks WHERE hold >= 3)`
)

// limitedFrom is the least dispatch_due_at of a row that waits for a limit and expects no
// delivery.
var limitedFrom = `timestamptz '` + queue.LimitedFrom.Format("2006-01-02") + ` 00:00:00+00'`

// setLimitQuery: index: the primary key. A part that is NULL stays. What an operator has
// set, the code ($6) does not change, unless it is reset ($7).
const setLimitQuery = `
INSERT INTO claimcheck_gates AS g (kind, name, running, starts, per_us, origin, limited_at)
SELECT $1::text, $2::text, nullif($3::int8, 0), nullif($4::int8, 0), CASE WHEN $4::int8 > 0 THEN $5::int8 END, $6::text, now()
ON CONFLICT (kind, name) DO UPDATE SET running = ` + newRunning + `, starts = ` + newStarts + `, per_us = ` + newPer + `, origin = excluded.origin, limited_at = now()
WHERE (excluded.origin = 'operator' OR g.origin = 'code' OR g.limited_at IS NULL OR $7::bool)
	AND (g.running, g.starts, g.per_us, g.origin) IS DISTINCT FROM (` + newRunning + `, ` + newStarts + `, ` + newPer + `, excluded.origin)`

// What setLimitQuery sets of a limit that exists.
const (
	newRunning = `CASE WHEN $3::int8 IS NULL THEN g.running ELSE excluded.running END`
	newStarts  = `CASE WHEN $4::int8 IS NULL THEN g.starts ELSE excluded.starts END`
	newPer     = `CASE WHEN $4::int8 IS NULL THEN g.per_us ELSE excluded.per_us END`
)

// SetLimit sets, changes or removes a limit.
func (s *Store) SetLimit(ctx context.Context, r queue.LimitChange) (now queue.Limit, err error) {
	l := r.Limit(queue.Limit{})
	if err := r.Check(); err != nil {
		return l, err
	}
	origin := "operator"
	if r.Code {
		origin = "code"
	}
	var starts *int
	if r.Rate != nil {
		starts = &l.Starts
	}
	err = s.on(ctx, "set limit", func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, setLimitQuery, string(l.Kind), l.Name, r.Running, starts, l.Per.Microseconds(), origin, r.Reset); err != nil {
			return err
		}
		g, err := readGates(ctx, conn, `kind = $1::text AND name = $2::text`, string(l.Kind), l.Name)
		if now = l; len(g.all) > 0 {
			now = g.all[0]
		}
		return err
	})
	if err != nil {
		return l, err
	}
	if now.Set() {
		s.limits.Store(true)
	}
	return now, s.TidyLimits(ctx)
}

// Limits returns the limits.
func (s *Store) Limits(ctx context.Context) (limits []queue.Limit, err error) {
	err = s.on(ctx, "read limits", func(conn *pgx.Conn) error {
		g, err := readGates(ctx, conn, isLimit+` ORDER BY kind COLLATE "C", name COLLATE "C"`)
		limits = g.all
		return err
	})
	return limits, err
}

// gates are limits and paused queues.
type gates struct {
	all    []queue.Limit
	limits storekit.Limits
	paused map[string]bool
	// limited says that there are any limits at all.
	limited bool
}

const gatesOf = `SELECT kind, name, coalesce(running, 0), coalesce(starts, 0), coalesce(per_us, 0), origin = 'code', paused_at IS NOT NULL FROM claimcheck_gates WHERE `

func readGates(ctx context.Context, q querier, which string, args ...any) (gates, error) {
	result, err := q.Query(ctx, gatesOf+which, args...)
	if err != nil {
		return gates{}, err
	}
	return scanGates(result)
}

func scanGates(result pgx.Rows) (g gates, err error) {
	g.paused = make(map[string]bool)
	var l queue.Limit
	var per int64
	var paused bool
	_, err = pgx.ForEachRow(result, []any{&l.Kind, &l.Name, &l.Running, &l.Starts, &per, &l.Code, &paused}, func() error {
		l.Per = time.Duration(per) * time.Microsecond
		g.all = append(g.all, l)
		if paused {
			g.paused[l.Name] = true
		}
		return nil
	})
	g.limits = storekit.NewLimits(g.all)
	return g, err
}

// limitConcerns is the error for a row that limits concern: it is claimed with slots.
type limitConcerns struct {
	row    *queue.Row
	limits storekit.Limits
}

func (*limitConcerns) Error() string { return "a limit concerns the task" }
