package sqlstore

import (
	"cmp"
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// Promote makes due and expired rows claimable.
func (s *Store) Promote(ctx context.Context, limit int) (p queue.PromoteResult, err error) {
	state, err := s.probe(ctx)
	if err != nil {
		return p, err
	}
	if state.Due(state.Lease) || state.Due(state.Held) || state.Due(state.Expiry) {
		err = s.promoteDue(ctx, state, limit, &p)
		again, probeErr := s.probe(ctx)
		if probeErr == nil {
			state = again
		}
		err = storekit.JoinErrors(err, probeErr)
	}
	p.Claimable, p.Next, p.Deletable, p.Gates = state.Claimable || state.Limited, state.Next(), state.Due(state.Deletion), state.Gates
	p.Limits, p.NextTick, p.Groups = state.Limits || state.Limited, state.NextTick(), state.Groups
	if err == nil && state.Limits {
		p.Unheld, err = s.unheld(ctx)
	}
	return p, err
}

// promoteDue changes the rows that are due, at most limit of each kind, and counts
// them in p even if it fails. Its parts are independent: when one fails, the others
// are done nevertheless. In this order no row is changed twice, however often it is
// claimed in between.
func (s *Store) promoteDue(ctx context.Context, state storekit.DueState, limit int, p *queue.PromoteResult) error {
	var lost, reclaimed, released, expired error
	if state.Due(state.Expiry) {
		p.Expired, expired = s.inBatches(ctx, limit, expireBatch, expireAll)
	}
	if state.Due(state.Lease) {
		p.Failed, lost = s.inBatches(ctx, limit, lostBatch, loseWorkers)
		p.Reclaimed, reclaimed = s.inBatches(ctx, limit, manyRows, reclaimAll)
	}
	if state.Due(state.Held) {
		p.Released, released = s.inBatches(ctx, limit, manyRows, releaseAll)
	}
	return storekit.JoinErrors(expired, lost, reclaimed, released)
}

// lostBatch is how many rows one transaction fails: each gets an error record.
const lostBatch = 50

// inBatches changes up to limit rows in transactions of at most size rows, so that
// finished batches are kept when the time runs out, and other transactions wait for
// one batch only. change changes up to n rows and counts them.
func (s *Store) inBatches(ctx context.Context, limit, size int, change func(ctx context.Context, tx querier, now time.Time, n int) (int, error)) (done int, err error) {
	for done < limit {
		batch := min(size, limit-done)
		n := 0
		err := s.write(ctx, "promote tasks", func(ctx context.Context, tx querier, now time.Time) (err error) {
			n, err = change(ctx, tx, now, batch)
			return err
		})
		if err != nil {
			return done, err
		}
		done += n
		if n < batch {
			break
		}
	}
	return done, nil
}

// The rows that are due now, up to a limit.

// Index: claimcheck_tasks_held.
func (d *Dialect) heldDue() string {
	return `SELECT id FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_held") + `
		WHERE ` + d.held + ` AND ` + d.heldUntil + ` <= ?
		ORDER BY ` + d.heldUntil + ` LIMIT ?`
}

func (d *Dialect) leaseExpired() string { return d.expired(`id`, `attempts < max_attempts`) }
func (d *Dialect) workerLost() string   { return d.expired(historyColumns, `attempts >= max_attempts`) }

// Index: claimcheck_tasks_lease.
func (d *Dialect) expired(what, which string) string {
	return `SELECT ` + what + ` FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_lease") + `
		WHERE status = 'RUNNING' AND lease_expires_at <= ? AND ` + which + `
		ORDER BY lease_expires_at LIMIT ?`
}

// releaseAll makes delayed rows that are due claimable.
func releaseAll(ctx context.Context, tx querier, now time.Time, n int) (int, error) {
	ids, err := lockedIDs(ctx, tx, tx.store.dialect.heldDue(), micros(now), n)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	return len(ids), update(ctx, tx, ids, setReleased)
}

const setReleased = `hold = 0`

// reclaimAll is reclaim of many rows.
func reclaimAll(ctx context.Context, tx querier, now time.Time, n int) (int, error) {
	ids, err := lockedIDs(ctx, tx, tx.store.dialect.leaseExpired(), micros(now), n)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	return len(ids), update(ctx, tx, ids, setReclaimed, micros(now), micros(now), micros(now))
}

// setReclaimed is what reclaim, and holdAt, make of a row; the three parameters
// are now.
const setReclaimed = `status = 'READY', hold = CASE WHEN run_after > ? OR retry_at > ? THEN 1 ELSE 0 END,
	claim_id = NULL, lease_expires_at = NULL, dispatch_due_at = ?`

// reclaim makes a row READY whose lease has expired, and clears its claim ID. The
// sweeper dispatches it at once.
func reclaim(row *queue.Row, now time.Time) {
	row.Status = queue.StatusReady
	row.ClaimID = uuid.Nil
	row.LeaseExpiresAt = time.Time{}
	row.DispatchDueAt = now
}

// Indexes: the first entry of claimcheck_tasks_held, _lease and _claim, of those of
// retention.go (ordered, or SQLite takes another one and walks over what is held), and
// of claimcheck_schedules_next.
func (d *Dialect) probe() string {
	return `SELECT ` + cmp.Or(d.clock, `?`) + `,
	(SELECT ` + d.heldUntil + ` FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_held") + ` WHERE ` + d.held + `
		ORDER BY ` + d.heldUntil + ` LIMIT 1),
	(SELECT lease_expires_at FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_lease") + ` WHERE status = 'RUNNING' AND lease_expires_at IS NOT NULL
		ORDER BY lease_expires_at LIMIT 1),
	(SELECT 1 FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_claim") + ` WHERE ` + d.free + ` AND attempts < max_attempts
		ORDER BY ` + d.freeOrder + ` LIMIT 1) IS NOT NULL,
	(SELECT ` + d.expiryAt + ` FROM claimcheck_tasks` + d.useIndex(d.expiryIndex) + ` WHERE ` + d.expiring + ` ORDER BY ` + d.expiryAt + ` LIMIT 1),
	(SELECT ` + d.deletedAt + ` FROM claimcheck_tasks` + d.useIndex(d.deleteIndex) + ` WHERE ` + d.deletable + `
		AND status IN ('SUCCESSFUL', 'FAILED', 'CANCELLED') ORDER BY ` + d.deleteOrder + ` LIMIT 1),
	` + d.gatesNeedWork() + `,
	(SELECT min(next_at) FROM claimcheck_schedules),
	` + limitsExist + `, ` + d.limitsWait() + `, ` + groupsWait
}

func (s *Store) probe(ctx context.Context) (state storekit.DueState, err error) {
	err = s.read(ctx, "promote tasks", func(conn querier) error {
		var clock []any
		if s.dialect.clock == "" {
			clock = append(clock, micros(s.now()))
		}
		return conn.QueryRowContext(ctx, s.dialect.probe(), clock...).Scan(at(&state.Now), at(&state.Held), at(&state.Lease), &state.Claimable, at(&state.Expiry), at(&state.Deletion), &state.Gates, at(&state.Schedule), &state.Limits, &state.Limited, &state.Groups)
	})
	return state, err
}
