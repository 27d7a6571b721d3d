package queuetest

import (
	"context"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Heartbeat renews leases.
func (s *Store) Heartbeat(ctx context.Context, lease time.Duration, claims ...queue.Claim) (renewed, lost []queue.Claim, err error) {
	err = s.with(ctx, "heartbeat", func(now time.Time) error {
		renewed, lost = s.renew(now, lease, claims)
		return nil
	})
	return renewed, lost, err
}

func (s *Store) renew(now time.Time, lease time.Duration, claims []queue.Claim) (renewed, lost []queue.Claim) {
	for _, claim := range claims {
		if r := s.rows[claim.ID]; r.runsUnder(claim) {
			r.LeaseExpiresAt = now.Add(lease).Truncate(time.Microsecond)
			renewed = append(renewed, claim)
		} else {
			lost = append(lost, claim)
		}
	}
	return renewed, lost
}

// Finish ends a claim for good.
func (s *Store) Finish(ctx context.Context, claim queue.Claim, f queue.Finish) (at time.Time, err error) {
	err = s.with(ctx, "finish task", func(now time.Time) error {
		at, err = s.finish(claim, f, now)
		return err
	})
	return at, err
}

func (s *Store) finish(claim queue.Claim, f queue.Finish, now time.Time) (time.Time, error) {
	r := s.rows[claim.ID]
	switch {
	case r.runsUnder(claim):
		r.finish(now, f)
		if err := s.insertLetter(f.Letter, now); err != nil {
			return time.Time{}, err
		}
	case !r.under(claim) || r.Status != f.Status: // else this very call took effect before
		return time.Time{}, queue.ErrLeaseLost
	}
	return r.FinishedAt, nil
}

// insertLetter inserts what the final failure of a row enqueues, if anything.
func (s *Store) insertLetter(letter *queue.NewRow, now time.Time) error {
	if letter == nil {
		return nil
	}
	return s.insert(context.Background(), []*queue.NewRow{letter}, now) // it meets no other row
}

// end changes a row under a claim that holds. Repeating a call that made the row
// READY succeeds.
func (s *Store) end(ctx context.Context, op string, claim queue.Claim, change func(r *row, now time.Time)) error {
	return s.with(ctx, op, func(now time.Time) error {
		r := s.rows[claim.ID]
		switch {
		case r.runsUnder(claim):
			change(r, now)
		case !r.under(claim) || r.Status != queue.StatusReady:
			return queue.ErrLeaseLost
		}
		return nil
	})
}

// Retry ends a claim and makes the row READY for a later attempt.
func (s *Store) Retry(ctx context.Context, claim queue.Claim, r queue.Retry) error {
	return s.end(ctx, "retry task", claim, func(row *row, now time.Time) { row.retry(now, r) })
}

// Release releases a claim whose function was interrupted.
func (s *Store) Release(ctx context.Context, claim queue.Claim) error {
	return s.end(ctx, "release task", claim, (*row).release)
}

// Unclaim releases claims whose functions never began.
func (s *Store) Unclaim(ctx context.Context, claims ...queue.Claim) error {
	return s.with(ctx, "unclaim tasks", func(now time.Time) error {
		for _, claim := range claims {
			if r := s.rows[claim.ID]; r.runsUnder(claim) {
				r.unclaim(now)
			}
		}
		return nil
	})
}

// NoteErrors stores the error history of a row that stays RUNNING.
func (s *Store) NoteErrors(ctx context.Context, claim queue.Claim, history []queue.AttemptError) error {
	return s.with(ctx, "note errors", func(time.Time) error {
		r := s.rows[claim.ID]
		if !r.runsUnder(claim) {
			return queue.ErrLeaseLost
		}
		r.setErrors(history)
		return nil
	})
}
