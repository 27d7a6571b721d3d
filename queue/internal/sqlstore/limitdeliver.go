package sqlstore

import (
	"context"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// limitDelivered is the end of a claim of a row that limits concern, which this
// transaction has locked: it is claimed, or waits.
func limitDelivered(ctx context.Context, tx querier, row *queue.Row, req queue.ClaimRequest, g gates) (refusal error, expired bool, err error) {
	lane := storekit.LaneOf(row)
	now, err := tx.now(ctx)
	if err == nil {
		err = lockScopes(ctx, tx, g.limits, []storekit.Lane{lane}, now)
	}
	if err == nil {
		now, err = tx.now(ctx) // the limits may have been waited for
	}
	if err != nil {
		return nil, false, err
	}
	turn, expired, err := rooms(ctx, tx, g.limits, []storekit.Lane{lane}, now, map[string]bool{row.ID.String(): true})
	if err != nil {
		return nil, false, err
	}
	fits, wait := turn.Fits(lane)
	if fits {
		if fits, err = passesAdmitted(ctx, tx, turn, row, now); err != nil {
			return nil, false, err
		}
	}
	if fits {
		if err := countReopened(ctx, tx, row); err != nil {
			return nil, false, err
		}
		claim(row, now, req.ClaimID, req.Worker, req.Lease)
		row.Limited = true
		if err := recordStart(ctx, tx, g.limits, lane, now); err != nil {
			return nil, false, err
		}
		return nil, false, saveClaim(ctx, tx, row, now)
	}
	if expired && wait == 0 {
		return nil, true, nil
	}
	reached := g.limits.Reached(lane, turn.Full)
	if row.Status == queue.StatusFailed { // an operator wanted to retry it
		return &queue.NotClaimedError{Reason: queue.ErrLimited, Row: row, Wait: wait, Room: true, Limits: reached}, false, nil
	}
	if wait > 0 {
		var longest time.Duration
		if wait, longest, err = spread(ctx, tx, turn, row, wait); err != nil {
			return nil, false, err
		}
		if left, kept := req.Kept(row, now, longest); kept {
			wait = left
		} else if ticketAt(now, wait).Equal(row.DispatchDueAt) {
			wait += time.Millisecond // the ticket of the same name is used up
		}
	}
	return &queue.NotClaimedError{Reason: queue.ErrLimited, Row: row, Wait: wait, Room: true, Limits: reached}, false, waitFor(ctx, tx, row, now, wait)
}

// waitFor makes a row wait for a limit: without a delivery, or for one after wait.
func waitFor(ctx context.Context, tx querier, row *queue.Row, now time.Time, wait time.Duration) error {
	if row.Status == queue.StatusRunning {
		reclaim(row, now)
	}
	if row.DispatchDueAt = storekit.WaitForLimit(now); wait > 0 {
		row.DispatchDueAt = ticketAt(now, wait)
	}
	if err := save(ctx, tx, row, now); err != nil {
		return err
	}
	return update(ctx, tx, []any{row.ID}, `hold = 3`)
}

// ticketAt is the DispatchDueAt of a row that is dispatched for a time after now.
func ticketAt(now time.Time, wait time.Duration) time.Time {
	return now.Add(wait + queue.DispatchGrace).Truncate(time.Microsecond)
}
