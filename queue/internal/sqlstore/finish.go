package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// underClaim applies change, which ends the claim, if it still holds. Otherwise done
// reports whether the row shows that this very call took effect before; if not, the
// error is queue.ErrLeaseLost. It returns the row as it is afterwards, without more, which
// is set with the change.
func underClaim(ctx context.Context, tx querier, claim queue.Claim, change func(*queue.Row, time.Time), done func(queue.Status) bool, more ...assignment) (*queue.Row, error) {
	row, now, err := loadNow(ctx, tx, claim.ID)
	switch {
	case err == queue.ErrNotFound:
		return nil, queue.ErrLeaseLost
	case err != nil && !errors.Is(err, queue.ErrLocked):
		return nil, err
	case row.ClaimID != claim.ClaimID || claim.ClaimID == uuid.Nil:
		return nil, queue.ErrLeaseLost
	case row.Status == queue.StatusRunning && err != nil:
		return nil, err // locked
	case row.Status == queue.StatusRunning:
		change(row, now)
		return row, save(ctx, tx, row, now, more...)
	case done(row.Status):
		return row, nil
	}
	return nil, queue.ErrLeaseLost
}

// Finish ends a claim for good and returns the time of it.
func (s *Store) Finish(ctx context.Context, claim queue.Claim, f queue.Finish) (time.Time, error) {
	var at time.Time
	end := func(ctx context.Context, tx querier) (err error) {
		at, err = finishIn(ctx, tx, claim, f)
		return err
	}
	err := storekit.RetryLocked(ctx, storekit.FinishPatience, func() error {
		if f.Letter != nil {
			return s.urgently(ctx, "finish task", end)
		}
		_, err := s.fast(ctx, "finish task", true, func(conn querier) (done bool, err error) {
			at, done, err = finishFast(ctx, conn, claim, f)
			return done, err
		}, end)
		return err
	})
	if err != nil {
		return time.Time{}, err
	}
	return at, nil
}

// finishIn is Finish within a transaction. A row that ended in another status
// than this call stores was ended by another call under the same claim, such as
// a CompleteTx that its worker took for rolled back: its result is kept.
func finishIn(ctx context.Context, tx querier, claim queue.Claim, f queue.Finish) (time.Time, error) {
	ended := false // by this call
	row, err := underClaim(ctx, tx, claim, func(row *queue.Row, now time.Time) { finish(row, now, f); ended = true },
		func(status queue.Status) bool { return status == f.Status }, reported(f.Report)...)
	if err != nil {
		return time.Time{}, err
	}
	if f.Letter != nil && ended {
		stored, err := insert(ctx, tx, row.FinishedAt, []*queue.NewRow{f.Letter})
		if err != nil {
			return time.Time{}, err
		}
		copyBack([]*queue.NewRow{f.Letter}, stored)
	}
	return row.FinishedAt, nil
}

func finish(row *queue.Row, now time.Time, f queue.Finish) {
	row.ReturnValue = f.ReturnValue
	if f.Errors != nil {
		row.Errors = f.Errors
	}
	end(row, f.Status, now)
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
		row.DispatchDueAt = deferredUntil(row, now)
		if r.WillDispatch {
			row.DispatchDueAt = later(now.Add(queue.LongestBackoff), row.RunAfter).Add(queue.DispatchGrace)
		}
		row.MaxAttempts = queue.MoreAttempts(row.MaxAttempts, row.Attempts, r.MoreAttempts)
	}, isReady, append(reported(r.Report), saved(r.Checkpoint)...)...)
}

// Release releases a claim whose function was interrupted.
func (s *Store) Release(ctx context.Context, claim queue.Claim) error { return s.release(ctx, claim) }

func (s *Store) release(ctx context.Context, claim queue.Claim, more ...assignment) error {
	return s.end(ctx, "release task", claim, func(row *queue.Row, now time.Time) {
		if row.Interruptions < queue.MaxInterruptions {
			refund(row)
		}
		row.Interruptions++
		if row.Attempts >= row.MaxAttempts {
			// No attempt is left to release: the lease ends here, and the next
			// promotion or claim fails the row.
			row.LeaseExpiresAt = now
			return
		}
		row.Status = queue.StatusReady
		row.LeaseExpiresAt = time.Time{}
		row.DispatchDueAt = now.Add(queue.DispatchGrace)
	}, isReady, more...)
}

// Unclaim releases claims whose functions never began. Rows that another
// transaction has locked are retried; the error of those that stay so is
// queue.ErrLocked; the others are released nevertheless.
func (s *Store) Unclaim(ctx context.Context, claims ...queue.Claim) error {
	left := claims
	return storekit.RetryLocked(ctx, storekit.FinishPatience, func() error {
		var locked []queue.Claim
		err := inChunks(left, func(some []queue.Claim) error {
			var rest []queue.Claim
			err := s.urgently(ctx, "unclaim tasks", atNow(func(ctx context.Context, tx querier, now time.Time) (err error) {
				rest, err = unclaim(ctx, tx, now, some)
				return err
			}))
			locked = append(locked, rest...)
			return err
		})
		if err != nil {
			return err
		}
		if left = locked; len(left) > 0 {
			return fmt.Errorf("unclaim %d tasks, the first of them %s: %w", len(left), left[0].ID, queue.ErrLocked)
		}
		return nil
	})
}

// setUnclaimed is what Unclaim makes of n rows; the last two parameters are now,
// and DispatchGrace later. MySQL reads what the assignments to the left have set: attempts
// comes after what reads it, and last_attempted_at, NULL where no function has begun,
// after started_at.
func setUnclaimed(n int) string {
	return `status = 'READY', lease_expires_at = NULL, worker_ids = ` + byRow(n) + `,
		started_at = CASE WHEN attempts = 1 AND started_at = last_attempted_at THEN NULL ELSE started_at END,
		last_attempted_at = CASE WHEN attempts = 1 AND (started_at IS NULL OR started_at = last_attempted_at) THEN NULL ELSE last_attempted_at END,
		attempts = attempts - 1, hold = CASE WHEN run_after > ? THEN 1 ELSE 0 END, dispatch_due_at = ?`
}

// unclaim releases claims that fit into one statement, and returns those that
// still hold because their rows are locked.
func unclaim(ctx context.Context, tx querier, now time.Time, claims []queue.Claim) (locked []queue.Claim, err error) {
	ids := make([]any, 0, 2*len(claims))
	fences := make([]any, 0, len(claims))
	for _, claim := range claims {
		ids, fences = append(ids, claim.ID), append(fences, claim.ClaimID)
	}
	var held, workers []any
	rest := slices.Clone(claims)
	err = each(ctx, tx, func(scan func(...any) error) error {
		var id, fence uuid.UUID
		var names string
		if err := scan(&id, &fence, &names); err != nil {
			return err
		}
		claim := queue.Claim{ID: id, ClaimID: fence}
		if !slices.Contains(rest, claim) {
			return nil
		}
		rest = slices.DeleteFunc(rest, func(other queue.Claim) bool { return other == claim })
		left, err := withoutLast(names)
		held, workers = append(held, id), append(workers, id, left)
		return err
	}, tx.store.dialect.heldQuery(len(claims))+tx.store.dialect.lockRows, append(ids, fences...)...)
	if err != nil {
		return nil, err
	}
	if len(held) > 0 {
		err := update(ctx, tx, held, setUnclaimed(len(held)), append(workers, micros(now), micros(now.Add(queue.DispatchGrace)))...)
		if err != nil {
			return nil, err
		}
	}
	return stillHeld(ctx, tx, rest)
}

// stillHeld returns those of claims that hold, whether their rows are locked or not.
func stillHeld(ctx context.Context, tx querier, claims []queue.Claim) (held []queue.Claim, err error) {
	if len(claims) == 0 {
		return nil, nil
	}
	found, err := holding(ctx, tx, claims, "")
	return slices.DeleteFunc(claims, func(claim queue.Claim) bool { return !found[claim] }), err
}

// heldQuery is holdingQuery with the workers. Index: the primary key.
func (d *Dialect) heldQuery(n int) string {
	return `SELECT id, claim_id, worker_ids FROM claimcheck_tasks` + d.byID + `
		WHERE id IN (` + marks(n) + `) AND status = 'RUNNING' AND claim_id IN (` + marks(n) + `) ORDER BY id`
}

// withoutLast removes the last of a list of workers. What is not a list stays as it
// is: the row's next run reports it.
func withoutLast(names string) (string, error) {
	workers, ok := decodeWorkers(names)
	if !ok {
		return names, nil
	}
	left, err := json.Marshal(append([]string{}, workers[:max(0, len(workers)-1)]...))
	return string(left), err
}

// NoteErrors stores the error history of a row that stays RUNNING.
func (s *Store) NoteErrors(ctx context.Context, claim queue.Claim, history []queue.AttemptError) error {
	return s.end(ctx, "note errors", claim, func(row *queue.Row, _ time.Time) { row.Errors = history },
		never)
}

func isReady(status queue.Status) bool { return status == queue.StatusReady }

// refund removes the last attempt. The row has been started nevertheless, so that it does
// not expire any more.
func refund(row *queue.Row) {
	row.Attempts--
	row.WorkerIDs = row.WorkerIDs[:max(0, len(row.WorkerIDs)-1)]
}
