package pgstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/internal/rowlock"
	"github.com/claimcheck-go/claimcheck/queue"
)

// setCancelled takes the claim ID with the claim, so that the function that may
// be running does not take this end for its own.
const setCancelled = `status = 'CANCELLED', hold = NULL, finished_at = now(), lease_expires_at = NULL, claim_id = NULL`

// cancelQuery: index: the primary key.
var cancelQuery = `
UPDATE claimcheck_tasks SET ` + setCancelled + `
WHERE id = ` + freeRow(`id = $1::uuid AND status IN ('READY', 'RUNNING')`) + `
RETURNING ` + columns

// Cancel makes a READY or RUNNING row CANCELLED. The error of one that another
// transaction has locked comes with the row as it was before.
func (s *Store) Cancel(ctx context.Context, taskID uuid.UUID) (row *queue.Row, cancelled bool, err error) {
	err = rowlock.Retry(ctx, rowlock.Cancel, func() error {
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
			return fmt.Errorf("cancel task %s: %w", taskID, queue.ErrLocked) // or it was reopened just now
		})
	})
	if err != nil && !errors.Is(err, queue.ErrLocked) {
		return nil, false, err
	}
	return row, cancelled, err
}
