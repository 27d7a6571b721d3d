package sqlstore

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Cancel makes a READY or RUNNING row CANCELLED.
func (s *Store) Cancel(ctx context.Context, id uuid.UUID) (row *queue.Row, cancelled bool, err error) {
	err = s.transaction(ctx, "cancel task", func(ctx context.Context, tx querier) (err error) {
		cancelled = false // it may be another try
		var now time.Time
		row, now, err = loadNow(ctx, tx, id)
		if err != nil || row.Status.Final() {
			return err
		}
		cancel(row, now)
		cancelled = true
		return save(ctx, tx, row, now)
	})
	if err != nil {
		return nil, false, err
	}
	return row, cancelled, nil
}

// cancel ends a live row. The claim ID goes, so that the function that may be
// running does not take this end for its own.
func cancel(row *queue.Row, now time.Time) {
	row.Status = queue.StatusCancelled
	row.FinishedAt = now
	row.LeaseExpiresAt = time.Time{}
	row.ClaimID = uuid.Nil
}
