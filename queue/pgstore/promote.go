package pgstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// Promote makes due and expired rows claimable. Its parts are independent: when one
// fails, the others are still done.
func (s *Store) Promote(ctx context.Context, limit int) (p queue.PromoteResult, err error) {
	state, err := s.probe(ctx)
	if err != nil {
		return p, err
	}
	var errs []error
	part := func(n *int, do func(conn *pgx.Conn) (int, error)) {
		err := s.on(ctx, "promote tasks", func(conn *pgx.Conn) (err error) {
			*n, err = do(conn)
			return err
		})
		errs = append(errs, err)
	}
	// In this order no row is changed twice, even if others claim it in between.
	lease, held, expiry := state.Due(state.Lease), state.Due(state.Held), state.Due(state.Expiry)
	if expiry {
		part(&p.Expired, func(conn *pgx.Conn) (int, error) { return expireDue(ctx, conn, state.Now, limit) })
	}
	if lease {
		part(&p.Failed, func(conn *pgx.Conn) (int, error) { return loseWorkers(ctx, conn, limit) })
		part(&p.Reclaimed, func(conn *pgx.Conn) (int, error) { return count(conn.Exec(ctx, reclaimQuery, limit)) })
	}
	if held {
		part(&p.Released, func(conn *pgx.Conn) (int, error) { return count(conn.Exec(ctx, releaseHoldsQuery, limit)) })
	}
	if p.Released+p.Reclaimed > 0 {
		s.hints.forget()
	}
	if lease || held || expiry {
		again, err := s.probe(ctx)
		if errs = append(errs, err); err == nil {
			state = again
		}
	}
	p.Claimable, p.Next, p.Deletable, p.Gates = state.Claimable || state.Limited, state.Next(), state.Due(state.Deletion), state.Gates
	p.Limits, p.Unheld, p.NextTick = state.Limits || state.Limited, state.Unheld, state.NextTick()
	p.Groups = state.Groups
	return p, storekit.JoinErrors(errs...)
}

func (s *Store) probe(ctx context.Context) (state storekit.DueState, err error) {
	err = s.on(ctx, "promote tasks", func(conn *pgx.Conn) error {
		state, err = probe(ctx, conn)
		return err
	})
	if err == nil {
		s.limits.Store(state.Limits)
	}
	return state, err
}

// probeQuery: indexes: the first entry of claimcheck_tasks_held, _lease, _claim and, of
// both kinds, _retention (ordered, so that none is planned as a scan of the table), and
// of each paused queue in _waiting, and of claimcheck_schedules_next; where there are
// limits, the first ones of _claim.
var probeQuery = `WITH RECURSIVE ` + waitingBackends + `
SELECT now(),
	(SELECT coalesce(retry_at, run_after) FROM claimcheck_tasks WHERE hold = 1
		ORDER BY coalesce(retry_at, run_after) LIMIT 1),
	(SELECT lease_expires_at FROM claimcheck_tasks WHERE status = 'RUNNING' ORDER BY lease_expires_at LIMIT 1),
	coalesce((SELECT true FROM claimcheck_tasks WHERE hold = 0 AND attempts < max_attempts
		ORDER BY priority DESC, enqueued_at, id LIMIT 1), false),
	` + firstRetained(expiring) + `, ` + firstRetained(deletable) + `,
	` + gatesNeedWork + `,
	(SELECT min(next_at) FROM claimcheck_schedules),
	` + limitsExist + `, ` + limitedWait + `, ` + unheld + `, ` + groupsWait

func probe(ctx context.Context, q querier) (state storekit.DueState, err error) {
	err = q.QueryRow(ctx, probeQuery).Scan((*moment)(&state.Now), (*moment)(&state.Held), (*moment)(&state.Lease), &state.Claimable, (*moment)(&state.Expiry), (*moment)(&state.Deletion), &state.Gates, (*moment)(&state.Schedule), &state.Limits, &state.Limited, &state.Unheld, &state.Groups)
	return state, err
}

// releaseHoldsQuery: index: claimcheck_tasks_held, then the primary key.
const releaseHoldsQuery = `
UPDATE claimcheck_tasks SET hold = 0
WHERE id = ANY(ARRAY(
	SELECT id FROM claimcheck_tasks
	WHERE hold = 1 AND coalesce(retry_at, run_after) <= now()
	ORDER BY coalesce(retry_at, run_after)
	LIMIT $1::int8 FOR UPDATE SKIP LOCKED))`

// setReclaimed ends a claim whose lease has expired, and clears its ID. The sweeper
// dispatches the row at once.
const setReclaimed = `status = 'READY', hold = CASE WHEN run_after > now() THEN 1 ELSE 0 END,
	claim_id = NULL, lease_expires_at = NULL, dispatch_due_at = now()`

// reclaimQuery: index: claimcheck_tasks_lease, then the primary key.
const reclaimQuery = `
UPDATE claimcheck_tasks SET ` + setReclaimed + `
WHERE id = ANY(ARRAY(
	SELECT id FROM claimcheck_tasks
	WHERE status = 'RUNNING' AND lease_expires_at <= now() AND attempts < max_attempts
	ORDER BY lease_expires_at
	LIMIT $1::int8 FOR UPDATE SKIP LOCKED))`

// lostQuery skips locked rows, because the ones after them must be found. Index:
// claimcheck_tasks_lease.
const lostQuery = `SELECT now(), ` + historyColumns + ` FROM claimcheck_tasks
	WHERE status = 'RUNNING' AND lease_expires_at <= now() AND attempts >= max_attempts
	ORDER BY lease_expires_at
	LIMIT $1::int8 FOR UPDATE SKIP LOCKED`

// lostChunk is the number of these rows that are in memory at once: each may have a
// megabyte of errors.
const lostChunk = 20

// loseWorkers fails the rows whose lease has expired with no attempt left, one by one,
// because each gets its own error record.
func loseWorkers(ctx context.Context, q *pgx.Conn, limit int) (failed int, err error) {
	for limit > 0 {
		read, n, err := loseSome(ctx, q, min(limit, lostChunk))
		failed += n
		if err != nil || read < lostChunk {
			return failed, err
		}
		limit -= read
	}
	return failed, nil
}

// loseSome returns how many rows it has read, and how many of them it has failed.
func loseSome(ctx context.Context, q *pgx.Conn, limit int) (read, failed int, err error) {
	result, err := q.Query(ctx, lostQuery, limit)
	if err != nil {
		return 0, 0, err
	}
	var now time.Time
	rows, err := pgx.CollectRows(result, func(result pgx.CollectableRow) (*queue.Row, error) { return one(result, (*moment)(&now)) })
	if err != nil {
		return 0, 0, err
	}
	for _, row := range rows {
		ok, err := loseWorker(ctx, q, row, now)
		if err != nil {
			return len(rows), failed, err
		}
		if ok {
			failed++
		}
	}
	return len(rows), failed, nil
}

func count(tag interface{ RowsAffected() int64 }, err error) (int, error) {
	return int(tag.RowsAffected()), err
}
