package sqlstore

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Heartbeat makes the leases of the given claims end lease from now, and
// returns those that it renewed and those that are lost. It skips rows that are
// locked: a task that holds its own row in CompleteTx must not delay the others.
func (s *Store) Heartbeat(ctx context.Context, lease time.Duration, claims ...queue.Claim) (renewed, lost []queue.Claim, err error) {
	return s.heartbeat(ctx, lease, claims, nil)
}

func (s *Store) heartbeat(ctx context.Context, lease time.Duration, claims []queue.Claim, reports map[queue.Claim]queue.Report) (renewed, lost []queue.Claim, err error) {
	err = s.urgently(ctx, "heartbeat", atNow(func(ctx context.Context, tx querier, now time.Time) error {
		renewed, lost = nil, nil
		return inChunks(claims, func(some []queue.Claim) error {
			kept, gone, err := renew(ctx, tx, now.Add(lease), some, reports)
			renewed, lost = append(renewed, kept...), append(lost, gone...)
			return err
		})
	}))
	if err != nil {
		return nil, nil, err
	}
	return renewed, lost, nil
}

// renew is heartbeat of claims that fit into one statement.
func renew(ctx context.Context, tx querier, until time.Time, claims []queue.Claim, reports map[queue.Claim]queue.Report) (renewed, lost []queue.Claim, err error) {
	free, err := holding(ctx, tx, claims, tx.store.dialect.lockRows)
	if err != nil {
		return nil, nil, err
	}
	var ids []any
	var others []queue.Claim
	for _, claim := range claims {
		if free[claim] {
			renewed, ids = append(renewed, claim), append(ids, claim.ID)
		} else {
			others = append(others, claim)
		}
	}
	if len(ids) > 0 {
		set, values := renewal(until, renewed, reports)
		if err := update(ctx, tx, ids, set, values...); err != nil {
			return nil, nil, err
		}
	}
	if len(others) == 0 {
		return renewed, nil, nil
	}
	locked, err := holding(ctx, tx, others, "")
	if err != nil {
		return nil, nil, err
	}
	for _, claim := range others {
		if !locked[claim] {
			lost = append(lost, claim)
		}
	}
	return renewed, lost, nil
}

const setRenewed = `lease_expires_at = ?`

// holdingQuery finds the rows of n claims that hold. Index: the primary key.
func (d *Dialect) holdingQuery(n int) string {
	return `SELECT id, claim_id FROM claimcheck_tasks` + d.byID + `
		WHERE id IN (` + marks(n) + `) AND status = 'RUNNING' AND claim_id IN (` + marks(n) + `)`
}

// holding returns which of the claims hold and have a row that lock can lock.
func holding(ctx context.Context, tx querier, claims []queue.Claim, lock string) (map[queue.Claim]bool, error) {
	var ids, fences []any
	for _, claim := range claims {
		ids, fences = append(ids, claim.ID), append(fences, claim.ClaimID)
	}
	found := make(map[queue.Claim]bool, len(claims))
	err := each(ctx, tx, func(scan func(...any) error) error {
		var id, fence uuid.UUID
		err := scan(&id, &fence)
		found[queue.Claim{ID: id, ClaimID: fence}] = true
		return err
	}, tx.store.dialect.holdingQuery(len(claims))+lock, append(ids, fences...)...)
	return found, err
}
