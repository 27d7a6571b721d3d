package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

var _ queue.Limiter = (*Store)(nil)

// A claim of rows that a limit concerns counts the tasks that run, and the starts within
// the period, in its transaction. Before it counts, it locks a row for each of the limits:
// those with the same queue, name or limit key take turns. SQLite has one transaction at a
// time anyway.

// gates are what keeps rows from being claimed.
type gates struct {
	paused []string
	limits storekit.Limits
}

// gateList is the JSON list of the gates, NULL or [] if there are none: texts of the kind,
// whether it is paused, the limits and the name.
func (d *Dialect) gateList() string {
	return `(SELECT ` + d.jsonList + `(` + d.concat("kind", "CASE WHEN paused_at IS NULL THEN 0 ELSE 1 END", "coalesce(running, 0)", "coalesce(starts, 0)", "coalesce(per_us, 0)", "name") + `) FROM claimcheck_gates
		WHERE paused_at IS NOT NULL OR running IS NOT NULL OR starts IS NOT NULL)`
}

// parseGates decodes that list.
func parseGates(list string) (g gates, err error) {
	var texts []string
	if list == "" {
		return g, nil
	}
	if err := json.Unmarshal([]byte(list), &texts); err != nil {
		return g, err
	}
	var limits []queue.Limit
	for _, text := range texts {
		fields := strings.SplitN(text, " ", 6)
		if len(fields) < 6 {
			return g, fmt.Errorf("gate %q has too few fields", text)
		}
		var l queue.Limit
		var paused int
		var per int64
		if _, err := fmt.Sscan(strings.Join(fields[1:5], " "), &paused, &l.Running, &l.Starts, &per); err != nil {
			return g, fmt.Errorf("gate %q: %w", text, err)
		}
		l.Kind, l.Name, l.Per = queue.LimitKind(fields[0]), fields[5], time.Duration(per)*time.Microsecond
		if paused != 0 {
			g.paused = append(g.paused, l.Name)
		}
		limits = append(limits, l)
	}
	g.limits = storekit.NewLimits(limits)
	return g, nil
}

// isPaused reports whether a queue is paused.
func (g gates) isPaused(name string) bool { return slices.Contains(g.paused, name) }

// names are the names of the limits of a kind.
func (g gates) names(kind queue.LimitKind) (names []any) {
	for scope := range g.limits {
		if scope.Kind == kind {
			names = append(names, scope.Name)
		}
	}
	return names
}

// without is the condition, with its parameters, of the rows that no limit concerns and
// whose queues are not paused.
func (g gates) without() (condition string, args []any) {
	not := func(column string, names []any) string {
		if len(names) == 0 {
			return ``
		}
		args = append(args, names...)
		return ` AND ` + column + ` NOT IN (` + marks(len(names)) + `)`
	}
	queues, names, each := append(anys(g.paused), g.names(queue.LimitQueue)...), g.names(queue.LimitName), g.names(queue.LimitEach)
	condition = not("queue_name", queues) + not("task_path", names)
	if keys := not("limit_key", names) + not("task_path", each); keys != "" {
		condition += ` AND (limit_key IS NULL OR ` + strings.TrimPrefix(keys, ` AND `) + `)`
	}
	return condition, args
}

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

// lockScopes locks the limits that concern the lanes, in the same order in every
// transaction.
func lockScopes(ctx context.Context, tx querier, limits storekit.Limits, lanes []storekit.Lane, now time.Time) error {
	if tx.store.dialect.lockRow == "" {
		return nil
	}
	var scopes []storekit.Scope
	for _, lane := range lanes {
		for _, bound := range limits.Of(lane) {
			scopes = append(scopes, bound.Scope)
		}
	}
	slices.SortFunc(scopes, storekit.Scope.Compare)
	for _, scope := range slices.Compact(scopes) {
		_, err := tx.ExecContext(ctx, `INSERT INTO claimcheck_slots (kind, name, limit_key, n, used_at) VALUES (?, ?, ?, 0, ?) ON DUPLICATE KEY UPDATE used_at = VALUES(used_at)`,
			scope.Kind, scope.Name, scope.Key, micros(now))
		if err != nil {
			return err
		}
	}
	return nil
}

// rooms returns how much is left of the limits that concern the lanes, without the rows
// that except names, and whether a claim that counts has expired.
func rooms(ctx context.Context, q querier, limits storekit.Limits, lanes []storekit.Lane, now time.Time, except map[string]bool) (turn *storekit.Turn, expired bool, err error) {
	turn = &storekit.Turn{Limits: limits, Rooms: make(map[storekit.Scope]*storekit.Room)}
	for _, lane := range lanes {
		for _, b := range limits.Of(lane) {
			turn.Rooms[b.Scope] = &storekit.Room{Running: b.Running, Starts: b.Starts}
		}
	}
	if len(turn.Rooms) == 0 {
		return turn, false, nil
	}
	err = each(ctx, q, func(scan func(...any) error) error {
		var id string
		var lane storekit.Lane
		var lease time.Time
		if err := scan(&id, &lane.Backend, &lane.Queue, &lane.Task, &lane.Key, at(&lease)); err != nil || except[id] {
			return err
		}
		for _, bound := range limits.Of(lane) {
			if room := turn.Rooms[bound.Scope]; room != nil {
				room.Running--
				expired = expired || !lease.After(now)
			}
		}
		return nil
	}, q.store.dialect.runningQuery())
	if err == nil {
		err = countStarts(ctx, q, turn, now)
	}
	return turn, expired, err
}

// runningQuery returns what runs. Index: claimcheck_tasks_lease.
func (d *Dialect) runningQuery() string {
	return `SELECT id, backend_name, queue_name, task_path, coalesce(limit_key, ''), lease_expires_at FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_lease") + ` WHERE status = 'RUNNING' AND lease_expires_at IS NOT NULL`
}

// countStarts takes from the rooms the starts within the periods of their limits.
func countStarts(ctx context.Context, q querier, turn *storekit.Turn, now time.Time) error {
	timed := false
	for _, l := range turn.Limits {
		timed = timed || l.Starts > 0
	}
	if !timed {
		return nil
	}
	return each(ctx, q, func(scan func(...any) error) error {
		var scope storekit.Scope
		var n int
		var first time.Time
		if err := scan(&scope.Kind, &scope.Name, &scope.Key, &n, at(&first)); err != nil {
			return err
		}
		if room := turn.Rooms[scope]; room != nil {
			room.Starts -= n
			room.Next = first.Add(turn.Limits[storekit.Scope{Kind: scope.Kind, Name: scope.Name}].Per).Sub(now)
		}
		return nil
	}, `SELECT s.kind, s.name, s.limit_key, count(*), min(s.used_at) FROM claimcheck_slots AS s JOIN claimcheck_gates AS g ON g.kind = s.kind AND g.name = s.name
		WHERE g.starts IS NOT NULL AND s.n > 0 AND s.used_at > ? - g.per_us GROUP BY s.kind, s.name, s.limit_key`, micros(now))
}

// recordStart counts a start of each limit of a lane.
func recordStart(ctx context.Context, tx querier, limits storekit.Limits, lane storekit.Lane, now time.Time) error {
	for _, bound := range limits.Of(lane) {
		if bound.Starts == 0 {
			continue
		}
		where := []any{bound.Kind, bound.Name, bound.Key}
		var last sql.NullInt64
		if err := tx.QueryRowContext(ctx, `SELECT max(n) FROM claimcheck_slots WHERE kind = ? AND name = ? AND limit_key = ?`, where...).Scan(&last); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO claimcheck_slots (kind, name, limit_key, n, used_at) VALUES (?, ?, ?, ?, ?)`, append(where, last.Int64+1, micros(now))...)
		if err != nil {
			return err
		}
		// The starts that are over are removed a few at a time.
		_, err = tx.ExecContext(ctx, `DELETE FROM claimcheck_slots WHERE kind = ? AND name = ? AND limit_key = ? AND n BETWEEN 1 AND ? AND used_at <= ?`,
			append(where, last.Int64-int64(bound.Starts), micros(now.Add(-bound.Per)))...)
		if err != nil {
			return err
		}
	}
	return nil
}

// limitDelivered is the end of a claim of a row that limits concern, which this
// transaction has locked: it is claimed, or waits.
func limitDelivered(ctx context.Context, tx querier, row *queue.Row, req queue.ClaimRequest, g gates) (refusal error, expired bool, err error) {
	lane := storekit.LaneOf(row)
	now, err := tx.now(ctx)
	if err == nil {
		err = lockScopes(ctx, tx, g.limits, []storekit.Lane{lane}, now)
	}
	if err == nil {
		now, err = tx.now(ctx) // the limits may have been waited for
	}
	if err != nil {
		return nil, false, err
	}
	turn, expired, err := rooms(ctx, tx, g.limits, []storekit.Lane{lane}, now, map[string]bool{row.ID.String(): true})
	if err != nil {
		return nil, false, err
	}
	fits, wait := turn.Fits(lane)
	if fits {
		if fits, err = passesAdmitted(ctx, tx, turn, row, now); err != nil {
			return nil, false, err
		}
	}
	if fits {
		claim(row, now, req.ClaimID, req.Worker, req.Lease)
		row.Limited = true
		if err := recordStart(ctx, tx, g.limits, lane, now); err != nil {
			return nil, false, err
		}
		return nil, false, saveClaim(ctx, tx, row, now)
	}
	if expired && wait == 0 {
		return nil, true, nil
	}
	reached := g.limits.Reached(lane, turn.Full)
	if row.Status == queue.StatusFailed { // an operator wanted to retry it
		return &queue.NotClaimedError{Reason: queue.ErrLimited, Row: row, Wait: wait, Room: true, Limits: reached}, false, nil
	}
	if wait > 0 {
		wait, err = spread(ctx, tx, turn, lane, wait)
		if err != nil {
			return nil, false, err
		}
	}
	return &queue.NotClaimedError{Reason: queue.ErrLimited, Row: row, Wait: wait, Room: true, Limits: reached}, false, waitFor(ctx, tx, row, now, wait)
}

// waitFor makes a row wait for a limit: without a delivery, or for one after wait.
func waitFor(ctx context.Context, tx querier, row *queue.Row, now time.Time, wait time.Duration) error {
	if row.Status == queue.StatusRunning {
		reclaim(row, now)
	}
	if row.DispatchDueAt = storekit.WaitForLimit(now); wait > 0 {
		row.DispatchDueAt = now.Add(wait + queue.DispatchGrace).Truncate(time.Microsecond)
	}
	if err := save(ctx, tx, row, now); err != nil {
		return err
	}
	return update(ctx, tx, []any{row.ID}, `hold = 3`)
}

// passesAdmitted reports whether there is room for a row besides those whose tickets are
// on their way. Such a row itself passes.
func passesAdmitted(ctx context.Context, tx querier, turn *storekit.Turn, row *queue.Row, now time.Time) (bool, error) {
	fits, admitted := true, false
	err := eachAdmitted(ctx, tx, reserved(now), func(id string, lane storekit.Lane) {
		admitted = admitted || id == row.ID.String()
		turn.TakeRoom(lane, 1)
	})
	if err == nil && !admitted {
		fits, _ = turn.Fits(storekit.LaneOf(row))
	}
	return fits, err
}

// reserved is after the dispatch_due_at of the admitted rows for which no room is kept any
// more.
func reserved(now time.Time) time.Time { return now.Add(queue.DispatchGrace - queue.AdmitGrace) }

// eachAdmitted calls do for the rows whose tickets are overdue after a time. Index:
// claimcheck_tasks_admitted.
func eachAdmitted(ctx context.Context, q querier, after time.Time, do func(id string, lane storekit.Lane)) error {
	return each(ctx, q, func(scan func(...any) error) error {
		var id string
		var lane storekit.Lane
		err := scan(&id, &lane.Backend, &lane.Queue, &lane.Task, &lane.Key)
		do(id, lane)
		return err
	}, q.store.dialect.admittedQuery(), micros(after))
}

func (d *Dialect) admittedQuery() string {
	return `SELECT id, backend_name, queue_name, task_path, coalesce(limit_key, '') FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_admitted") + `
		WHERE ` + d.admitted + ` AND ` + d.admittedUntil + ` > ?`
}
