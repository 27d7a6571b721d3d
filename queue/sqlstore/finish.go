package sqlstore

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// underClaim lets change end the claim, if it still holds. Otherwise done says
// whether the row shows that this very call took effect before; if not, the
// answer is queue.ErrLeaseLost. It returns the row as it is afterwards.
func underClaim(ctx context.Context, tx querier, claim queue.Claim, change func(*queue.Row, time.Time), done func(queue.Status) bool) (*queue.Row, error) {
	row, now, err := loadNow(ctx, tx, claim.ID)
	switch {
	case err == queue.ErrNotFound:
		return nil, queue.ErrLeaseLost
	case err != nil:
		return nil, err
	case row.ClaimID != claim.ClaimID || claim.ClaimID == uuid.Nil:
		return nil, queue.ErrLeaseLost
	case row.Status == queue.StatusRunning:
		change(row, now)
		return row, save(ctx, tx, row, now)
	case done(row.Status):
		return row, nil
	}
	return nil, queue.ErrLeaseLost
}

// end is underClaim in a transaction of its own.
func (s *Store) end(ctx context.Context, op string, claim queue.Claim, change func(*queue.Row, time.Time), done func(queue.Status) bool) error {
	return s.transaction(ctx, op, func(ctx context.Context, tx querier) error {
		_, err := underClaim(ctx, tx, claim, change, done)
		return err
	})
}

// Finish ends a claim for good and returns the time of it.
func (s *Store) Finish(ctx context.Context, claim queue.Claim, f queue.Finish) (time.Time, error) {
	var at time.Time
	end := func(ctx context.Context, tx querier) (err error) {
		at, err = finishIn(ctx, tx, claim, f)
		return err
	}
	var err error
	if s.dialect.stamp == "" {
		err = s.transaction(ctx, "finish task", end)
	} else {
		_, err = s.alone(ctx, "finish task", func(conn querier) (done bool, err error) {
			at, done, err = finishAlone(ctx, conn, claim, f)
			return done, err
		}, end)
	}
	if err != nil {
		return time.Time{}, err
	}
	return at, nil
}

// finishIn is Finish within a transaction. A row that ended in another status
// than this call stores was ended by another call under the same claim, such as
// a CompleteTx that its worker took for undone: that one stands.
func finishIn(ctx context.Context, tx querier, claim queue.Claim, f queue.Finish) (time.Time, error) {
	row, err := underClaim(ctx, tx, claim, func(row *queue.Row, now time.Time) { finish(row, now, f) },
		func(status queue.Status) bool { return status == f.Status })
	if err != nil {
		return time.Time{}, err
	}
	return row.FinishedAt, nil
}

func finish(row *queue.Row, now time.Time, f queue.Finish) {
	row.Status = f.Status
	row.ReturnValue = f.ReturnValue
	if f.Errors != nil {
		row.Errors = f.Errors
	}
	row.FinishedAt = now
	row.LeaseExpiresAt = time.Time{}
}

// Retry ends a claim and makes the row READY again for a later attempt.
func (s *Store) Retry(ctx context.Context, claim queue.Claim, r queue.Retry) error {
	return s.end(ctx, "retry task", claim, func(row *queue.Row, now time.Time) {
		row.Status = queue.StatusReady
		row.LeaseExpiresAt = time.Time{}
		if r.Errors != nil {
			row.Errors = r.Errors
		}
		if hard := hardTime(now, r.RunAfter, r.RunIn); !hard.IsZero() {
			row.RunAfter = hard
		}
		if r.In > 0 {
			row.RetryAt = later(now.Add(r.In).Truncate(time.Microsecond), row.RunAfter)
		}
		if r.Refund {
			refund(row)
		}
		row.DispatchDueAt = parkedUntil(row, now)
		if r.Armed {
			row.DispatchDueAt = later(now.Add(queue.LongestBackoff), row.RunAfter).Add(queue.DispatchGrace)
		}
	}, isReady)
}

// Release gives a claim back because the process stops.
func (s *Store) Release(ctx context.Context, claim queue.Claim) error {
	return s.end(ctx, "release task", claim, func(row *queue.Row, now time.Time) {
		if row.Interruptions < queue.MaxInterruptions {
			refund(row)
		}
		row.Interruptions++
		if row.Attempts >= row.MaxAttempts {
			// Nothing is left to give back: the lease ends here, and whoever
			// finds it fails the row.
			row.LeaseExpiresAt = now
			return
		}
		row.Status = queue.StatusReady
		row.LeaseExpiresAt = time.Time{}
		row.DispatchDueAt = now.Add(queue.DispatchGrace)
	}, isReady)
}

func isReady(status queue.Status) bool { return status == queue.StatusReady }

// refund makes the last attempt one that has not been.
func refund(row *queue.Row) {
	row.Attempts--
	row.WorkerIDs = row.WorkerIDs[:len(row.WorkerIDs)-1]
	if row.Attempts == 0 {
		row.StartedAt = time.Time{}
	}
}
