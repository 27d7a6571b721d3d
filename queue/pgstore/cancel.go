package pgstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// setCancelled also clears the claim ID, so that a function that is running does not
// mistake this end for its own.
func setCancelled() string {
	return `status = 'CANCELLED', hold = NULL, finished_at = now(), lease_expires_at = NULL, claim_id = NULL, ` + setKept(`'CANCELLED'`)
}

// cancelQuery: index: the primary key.
var cancelQuery = `
UPDATE claimcheck_tasks SET ` + setCancelled() + `
WHERE id = ` + freeRow(`id = $1::uuid AND status IN ('READY', 'RUNNING')`) + `
RETURNING ` + columns

// Cancel makes a READY or RUNNING row CANCELLED. If another transaction has locked it,
// Cancel returns an error and the row as it was before.
func (s *Store) Cancel(ctx context.Context, taskID uuid.UUID) (row *queue.Row, cancelled bool, err error) {
	err = storekit.RetryLocked(ctx, storekit.CancelPatience, func() error {
		return s.on(ctx, "cancel task", func(conn *pgx.Conn) error {
			row, err = one(conn.QueryRow(ctx, cancelQuery, uuidValue(taskID)))
			cancelled = err == nil
			if !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
			row, _, err = load(ctx, conn, taskID)
			if err != nil || row.Status.Final() {
				return err
			}
			return fmt.Errorf("cancel task %s: %w", taskID, queue.ErrLocked) // or it was just reopened
		})
	})
	if err != nil && !errors.Is(err, queue.ErrLocked) {
		return nil, false, err
	}
	return row, cancelled, err
}
