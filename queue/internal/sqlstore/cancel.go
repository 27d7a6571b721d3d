package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// Cancel makes a READY or RUNNING row CANCELLED. The error of one that another
// transaction has locked comes with the row as it was before.
func (s *Store) Cancel(ctx context.Context, id uuid.UUID) (row *queue.Row, cancelled bool, err error) {
	err = storekit.RetryLocked(ctx, storekit.CancelPatience, func() error {
		return s.transaction(ctx, "cancel task", func(ctx context.Context, tx querier) (err error) {
			cancelled = false // it may be another try
			var now time.Time
			row, now, err = loadNow(ctx, tx, id)
			switch {
			case errors.Is(err, queue.ErrLocked) && row.Status.Final():
				return nil
			case errors.Is(err, queue.ErrLocked):
				return fmt.Errorf("cancel %w", err)
			case err != nil || row.Status.Final():
				return err
			}
			cancel(row, now)
			cancelled = true
			return save(ctx, tx, row, now)
		})
	})
	if err != nil && !errors.Is(err, queue.ErrLocked) {
		return nil, false, err
	}
	return row, cancelled, err
}

// cancel ends a live row. It clears the claim ID, so that a running function does not
// take this end for its own.
func cancel(row *queue.Row, now time.Time) {
	end(row, queue.StatusCancelled, now)
	row.ClaimID = uuid.Nil
}
