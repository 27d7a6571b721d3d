package pgstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
)

// setCancelled takes the claim ID with the claim, so that the function that may
// be running does not take this end for its own.
const setCancelled = `status = 'CANCELLED', hold = NULL, finished_at = now(), lease_expires_at = NULL, claim_id = NULL`

// cancelQuery: index: the primary key.
const cancelQuery = `
UPDATE claimcheck_tasks SET ` + setCancelled + `
WHERE id = $1::uuid AND status IN ('READY', 'RUNNING')
RETURNING ` + columns

// Cancel makes a READY or RUNNING row CANCELLED.
func (s *Store) Cancel(ctx context.Context, taskID uuid.UUID) (row *queue.Row, cancelled bool, err error) {
	err = s.on(ctx, "cancel task", func(conn *pgx.Conn) error {
		for range maxTries {
			row, err = one(conn.QueryRow(ctx, cancelQuery, uuidValue(taskID)))
			cancelled = err == nil
			if !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
			row, _, err = load(ctx, conn, taskID)
			if err != nil || row.Status.Final() {
				return err
			}
			// It was reopened between the two statements.
		}
		return fmt.Errorf("cancel task %s: %w: it keeps changing", taskID, queue.ErrUnavailable)
	})
	if err != nil {
		return nil, false, err
	}
	return row, cancelled, nil
}
