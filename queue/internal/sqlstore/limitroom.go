package sqlstore

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// A claim of rows that a limit concerns counts the tasks that run, and the starts within
// the period, in its transaction. Before it counts, it locks a row for each of the limits:
// those with the same queue, name or limit key take turns. SQLite has one transaction at a
// time anyway.

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
