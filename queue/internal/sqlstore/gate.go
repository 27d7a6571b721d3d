package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

var _ queue.Gatekeeper = (*Store)(nil)

// A transaction that claims reads the names of the paused queues together with the
// time. One that parks rows locks the gate, shared with others that do, so that
// ResumeQueue waits for it: SQLite has one transaction at a time anyway.

// pausedQueues are the names of the paused queues. Index: the primary key.
const pausedQueues = `(SELECT name FROM claimcheck_gates WHERE kind = 'queue' AND paused_at IS NOT NULL)`

// andNotGated is the condition of the rows whose queues are not paused.
const andNotGated = ` AND queue_name NOT IN ` + pausedQueues

// gated is the database's time, and the gates that are closed then.
func (q querier) gated(ctx context.Context) (now time.Time, g gates, err error) {
	var list sql.NullString
	var clock []any
	if q.store.dialect.clock == "" {
		clock = append(clock, micros(q.store.now()))
	}
	err = q.QueryRowContext(ctx, `SELECT `+cmp.Or(q.store.dialect.clock, `?`)+`, `+q.store.dialect.gateList(), clock...).Scan(at(&now), &list)
	if err == nil {
		g, err = parseGates(list.String)
	}
	return now, g, err
}

const gatesQuery = `SELECT name, paused_at, coalesce(paused_by, ''), coalesce(pause_reason, ''), parked FROM claimcheck_gates WHERE kind = 'queue'`

func gateFields(g *queue.Gate) []any {
	return []any{&g.Queue, at(&g.PausedAt), &g.PausedBy, &g.PauseReason, &g.Parked}
}

// gate reads the gate of a queue, locked as lock says. One that does not exist is open.
func gate(ctx context.Context, q querier, name, lock string) (g queue.Gate, err error) {
	err = q.QueryRowContext(ctx, gatesQuery+` AND name = ?`+lock, name).Scan(gateFields(&g)...)
	if errors.Is(err, sql.ErrNoRows) {
		return queue.Gate{Queue: name}, nil
	}
	return g, err
}

// PauseQueue keeps rows of a queue from being claimed.
func (s *Store) PauseQueue(ctx context.Context, name, by, reason string) (g queue.Gate, changed bool, err error) {
	err = s.write(ctx, "pause queue", func(ctx context.Context, tx querier, now time.Time) (err error) {
		g, err = gate(ctx, tx, name, s.dialect.lockRow)
		for changed = !g.Paused(); err == nil && !g.Paused(); g, err = gate(ctx, tx, name, s.dialect.lockRow) {
			err = pauseGate(ctx, tx, name, by, reason, now)
			if err != nil {
				return err
			}
		}
		changed = changed && g.PausedAt.Equal(now)
		return err
	})
	return g, changed, err
}

// pauseGate makes a gate paused, unless another transaction inserts it in the meantime: a
// pause, or a limit.
func pauseGate(ctx context.Context, tx querier, name, by, reason string, now time.Time) error {
	return put(ctx, tx, statement{`UPDATE claimcheck_gates SET paused_at = ?, paused_by = ?, pause_reason = ?, parked = 1 WHERE kind = 'queue' AND name = ?`, []any{micros(now), by, reason, name}},
		statement{`INSERT INTO claimcheck_gates (kind, name, paused_at, paused_by, pause_reason, parked, origin) VALUES ('queue', ?, ?, ?, ?, 1, 'code')`, []any{name, micros(now), by, reason}})
}

// ResumeQueue lets rows of a queue be claimed again. It waits for transactions that park
// rows.
func (s *Store) ResumeQueue(ctx context.Context, name string) (g queue.Gate, changed bool, err error) {
	err = s.write(ctx, "resume queue", func(ctx context.Context, tx querier, _ time.Time) (err error) {
		g, err = gate(ctx, tx, name, s.dialect.lockRow)
		if changed = g.Paused(); err != nil || !changed {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE claimcheck_gates SET paused_at = NULL, paused_by = NULL, pause_reason = NULL WHERE kind = 'queue' AND name = ?`, name)
		return err
	})
	return g, changed, err
}

// Gates returns the queues that are paused, and those that may have parked rows.
func (s *Store) Gates(ctx context.Context) (gates []queue.Gate, err error) {
	err = s.read(ctx, "read gates", func(conn querier) error {
		gates = nil
		return each(ctx, conn, func(scan func(...any) error) error {
			var g queue.Gate
			err := scan(gateFields(&g)...)
			gates = append(gates, g)
			return err
		}, gatesQuery+` AND (paused_at IS NOT NULL OR parked <> 0) ORDER BY name`)
	})
	return gates, err
}

// hasParked reports whether there may be rows that are parked or wait for a limit.
func hasParked(ctx context.Context, q querier) (parked bool, err error) {
	err = q.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM claimcheck_gates WHERE kind = 'queue' AND parked <> 0) OR `+q.store.dialect.limitsWait()).Scan(&parked)
	return parked, err
}

// nextBackend finds the first backend after another that has READY rows. Index:
// claimcheck_tasks_outbox.
func (d *Dialect) nextBackend() string {
	return `SELECT min(` + d.readyBackend + `) FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_outbox") + ` WHERE ` + d.readyBackend + ` > ?` + d.andReady
}

// isParkedDue selects parked rows, and not those that wait for a limit.
func isParkedDue(d *Dialect) string {
	return ` >= ` + parkedFrom + ` AND ` + d.dispatchDue + ` < ` + limitedFrom
}

// waiting are the READY rows of a backend and a queue that a condition on their
// dispatch_due_at selects. Index: claimcheck_tasks_outbox, in its order.
func (d *Dialect) waiting(what, due string) string {
	return d.outbox(what) + ` AND queue_name = ? AND ` + d.dispatchDue + due + ` ORDER BY ` + d.dispatchDue + ` LIMIT ?`
}

// eachBackend calls do for each backend that has READY rows, until it returns false.
func eachBackend(ctx context.Context, q querier, do func(backend string) (more bool, err error)) error {
	for after := ""; ; {
		var backend sql.NullString
		err := q.QueryRowContext(ctx, q.store.dialect.nextBackend(), after).Scan(&backend)
		if err != nil || !backend.Valid {
			return err
		}
		if more, err := do(backend.String); err != nil || !more {
			return err
		}
		after = backend.String
	}
}

// gatesNeedWork reports whether there are rows to be parked, or parked rows to be made
// claimable again. Without gates it reads nothing else.
func (d *Dialect) gatesNeedWork() string {
	backends := `SELECT min(` + d.readyBackend + `) FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_outbox") + ` WHERE ` + d.readyBackend
	return `EXISTS (SELECT 1 FROM claimcheck_gates AS g WHERE g.kind = 'queue' AND g.parked <> 0 AND (g.paused_at IS NULL OR EXISTS (
		WITH RECURSIVE backends (name) AS (` + backends + ` > ''` + d.andReady + `
			UNION ALL SELECT (` + backends + ` > b.name` + d.andReady + `) FROM backends AS b WHERE b.name IS NOT NULL)
		SELECT 1 FROM backends AS b WHERE EXISTS (SELECT 1 FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_outbox") + `
			WHERE ` + d.readyBackend + ` = b.name` + d.andReady + ` AND queue_name = g.name AND ` + d.dispatchDue + ` < ` + parkedFrom + `))))`
}

// Park moves READY rows of a paused queue out of the indexes of claims and of the
// sweeper.
func (s *Store) Park(ctx context.Context, name string, limit int) (n int, err error) {
	err = s.write(ctx, "park tasks", func(ctx context.Context, tx querier, _ time.Time) error {
		n = 0
		g, err := gate(ctx, tx, name, s.dialect.lockShared)
		if err != nil || !g.Paused() {
			return err
		}
		return eachBackend(ctx, tx, func(backend string) (more bool, err error) {
			ids, err := lockedIDs(ctx, tx, s.dialect.waiting(`id`, ` < `+parkedFrom), backend, name, limit-n)
			if err != nil {
				return false, err
			}
			n += len(ids)
			return n < limit, inChunks(ids, func(some []any) error { return update(ctx, tx, some, setParked) })
		})
	})
	return n, err
}

// Unpark makes parked rows of a queue that is not paused claimable again.
func (s *Store) Unpark(ctx context.Context, name string, limit int) (n int, due []*queue.Row, err error) {
	err = s.write(ctx, "unpark tasks", func(ctx context.Context, tx querier, now time.Time) error {
		n, due = 0, nil
		g, err := gate(ctx, tx, name, s.dialect.lockShared)
		if err != nil || g.Paused() || !g.Parked {
			return err
		}
		return eachBackend(ctx, tx, func(backend string) (more bool, err error) {
			rows, err := list(ctx, tx, s.dialect.waiting(lightColumns, isParkedDue(s.dialect)), backend, name, limit-n)
			if err != nil {
				return false, err
			}
			n += len(rows)
			for _, row := range rows {
				if row.DispatchDueAt = storekit.Unpark(row.DispatchDueAt); !row.DispatchDueAt.After(now) {
					row.DispatchDueAt = now.Add(queue.DispatchGrace)
					due = append(due, row)
				}
			}
			return n < limit, inChunks(rows, func(some []*queue.Row) error { return unpark(ctx, tx, some, now) })
		})
	})
	if err != nil || n == limit {
		return n, due, err
	}
	return n, due, s.clearGate(ctx, name)
}

// unpark writes rows that are no longer parked.
func unpark(ctx context.Context, tx querier, rows []*queue.Row, now time.Time) error {
	var ids, due []any
	for _, row := range rows {
		ids, due = append(ids, row.ID), append(due, row.ID, micros(row.DispatchDueAt))
	}
	set := `hold = CASE WHEN run_after > ? OR retry_at > ? THEN 1 ELSE 0 END, dispatch_due_at = ` + byRow(len(rows))
	return update(ctx, tx, ids, set, slices.Concat([]any{micros(now), micros(now)}, due)...)
}

// clearGate records that a queue which is not paused has no parked rows. It looks for
// them while it has locked the gate, so that none is parked meanwhile.
func (s *Store) clearGate(ctx context.Context, name string) error {
	return s.write(ctx, "unpark tasks", func(ctx context.Context, tx querier, _ time.Time) error {
		g, err := gate(ctx, tx, name, s.dialect.lockRow)
		if err != nil || g.Paused() || !g.Parked {
			return err
		}
		none := true
		err = eachBackend(ctx, tx, func(backend string) (more bool, err error) {
			var id string
			err = tx.QueryRowContext(ctx, s.dialect.waiting(`id`, isParkedDue(s.dialect)), backend, name, 1).Scan(&id)
			if errors.Is(err, sql.ErrNoRows) {
				return true, nil
			}
			none = false
			return false, err
		})
		if err == nil && none {
			_, err = tx.ExecContext(ctx, `UPDATE claimcheck_gates SET parked = 0 WHERE kind = 'queue' AND name = ?`, name)
		}
		return err
	})
}

// parkDelivered parks a row, which this transaction has locked and whose delivery came
// while its queue was paused: the delivery was its ticket, so it is due for another one
// as soon as the queue is resumed. An expired claim ends. A row that an operator wanted
// to retry stays FAILED. It returns nil if the queue has just been resumed.
func parkDelivered(ctx context.Context, tx querier, row *queue.Row, now time.Time) (refusal, err error) {
	g, err := gate(ctx, tx, row.Queue, tx.store.dialect.lockShared)
	if err != nil || !g.Paused() {
		return nil, err
	}
	if row.Status == queue.StatusRunning {
		reclaim(row, now)
	}
	if row.Status == queue.StatusReady {
		row.DispatchDueAt = storekit.Park(now)
		err = save(ctx, tx, row, now)
	}
	return &queue.NotClaimedError{Reason: queue.ErrPaused, Row: row}, err
}
