package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// underClaimQuery finds the row of a claim that holds, renewQuery renews it.
// Index: the primary key.
const (
	underClaimQuery = `SELECT id FROM claimcheck_tasks WHERE id = ? AND status = 'RUNNING' AND claim_id = ?`
	renewQuery      = `UPDATE claimcheck_tasks SET lease_expires_at = ? WHERE id = ?`
)

// Heartbeat makes the leases of the given claims end lease from now, and
// returns those that it renewed and those that are lost. It waits for no row
// that is locked: one that a task keeps so in its CompleteTx must not hold up
// the others.
func (s *Store) Heartbeat(ctx context.Context, lease time.Duration, claims ...queue.Claim) (renewed, lost []queue.Claim, err error) {
	err = s.write(ctx, "heartbeat", func(ctx context.Context, tx querier, now time.Time) error {
		renewed, lost = nil, nil
		for _, claim := range claims {
			free, err := holds(ctx, tx, claim, s.dialect.lockRows)
			if err == nil && free {
				renewed = append(renewed, claim)
				_, err = tx.ExecContext(ctx, renewQuery, micros(now.Add(lease)), claim.ID)
			}
			if err != nil {
				return err
			}
			if free {
				continue
			}
			if held, err := holds(ctx, tx, claim, ""); err != nil {
				return err
			} else if !held {
				lost = append(lost, claim)
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return renewed, lost, nil
}

// holds reports whether a claim holds and its row can be locked as asked.
func holds(ctx context.Context, tx querier, claim queue.Claim, lock string) (bool, error) {
	var id string
	err := tx.QueryRowContext(ctx, underClaimQuery+lock, claim.ID, claim.ClaimID).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
