package queuetest

import (
	"context"
	"math"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Promote makes due and expired rows claimable.
func (s *Store) Promote(ctx context.Context, limit int) (p queue.PromoteResult, err error) {
	err = s.with(ctx, "promote tasks", func(now time.Time) error {
		byExpiry := func(a, b *row) int { return a.ExpiresAt.Compare(b.ExpiresAt) }
		for _, r := range s.find(limit, byExpiry, func(r *row) bool { return r.Expired(now) }) {
			r.expire(now)
			p.Expired++
		}
		if p.Failed, p.Reclaimed, err = s.endLeases(limit, now); err != nil {
			return err
		}
		byTime := func(a, b *row) int { return a.due().Compare(b.due()) }
		for _, r := range s.find(limit, byTime, func(r *row) bool { return r.hold == delayed && !r.due().After(now) }) {
			r.hold = free
			p.Released++
		}
		s.look(&p, now)
		return nil
	})
	return p, err
}

// endLeases takes rows from claims whose leases have expired, up to limit of those that
// have failed and of those that run again.
func (s *Store) endLeases(limit int, now time.Time) (failed, reclaimed int, err error) {
	byLease := func(a, b *row) int { return a.LeaseExpiresAt.Compare(b.LeaseExpiresAt) }
	over := func(r *row) bool { return r.Status == queue.StatusRunning && !r.LeaseExpiresAt.After(now) }
	for _, r := range s.find(limit, byLease, func(r *row) bool { return over(r) && r.Attempts >= r.MaxAttempts }) {
		if err := s.insertLetter(r.loseWorker(now), now); err != nil {
			return failed, reclaimed, err
		}
		failed++
	}
	for _, r := range s.find(limit, byLease, func(r *row) bool { return over(r) && r.Attempts < r.MaxAttempts }) {
		r.reclaim(now)
		reclaimed++
	}
	return failed, reclaimed, nil
}

// look reports what there is to do, now and next.
func (s *Store) look(p *queue.PromoteResult, now time.Time) {
	next, tick := never, never
	for _, r := range s.rows {
		switch {
		case r.Status == queue.StatusRunning:
			next.earlier(r.LeaseExpiresAt, now)
		case r.Status.Final():
			p.Deletable = p.Deletable || r.deletable(now)
			continue
		case r.hold == delayed:
			next.earlier(r.due(), now)
		case r.hold >= limited:
			p.Claimable, p.Limits = true, true
		case r.hold == free:
			p.Claimable = p.Claimable || r.Attempts < r.MaxAttempts
			p.Unheld = p.Unheld || s.limits.concern(r) && !s.isPaused(r.Queue)
		}
		if r.Status == queue.StatusReady && r.StartedAt.IsZero() {
			next.earlier(r.ExpiresAt, now)
		}
	}
	for _, schedule := range s.schedules {
		tick.earlier(schedule.NextAt, now)
	}
	p.Next, p.NextTick = next.orZero(), tick.orZero()
	p.Groups = s.groupsWait()
	p.Gates, p.Limits = s.gatesNeedWork(), p.Limits || s.limits.any()
}

// until is how long it is until something happens.
type until time.Duration

const never until = math.MaxInt64

// earlier sets u to the time until at, if that is set and comes before.
func (u *until) earlier(at, now time.Time) {
	if !at.IsZero() {
		*u = min(*u, until(max(at.Sub(now), time.Microsecond)))
	}
}

func (u until) orZero() time.Duration {
	if u == never {
		return 0
	}
	return time.Duration(u)
}

// deletable reports whether the Keep of an ended row is over, or not known yet.
func (r *row) deletable(now time.Time) bool {
	return r.Keep != nil && r.Status.Final() && !r.DeleteAt.After(now)
}

// DeleteKept deletes ended rows whose Keep is over.
func (s *Store) DeleteKept(ctx context.Context, limit int) (deleted int, err error) {
	err = s.with(ctx, "delete tasks", func(now time.Time) error {
		byTime := func(a, b *row) int { return a.DeleteAt.Compare(b.DeleteAt) }
		for _, r := range s.find(len(s.rows), byTime, func(r *row) bool { return r.deletable(now) }) {
			switch {
			case r.DeleteAt.IsZero(): // a program that does not know Keep has ended it
				r.DeleteAt = r.KeptUntil(r.Status, r.FinishedAt)
				r.drop()
			case deleted < limit:
				s.remove(r)
				deleted++
			}
		}
		return nil
	})
	return deleted, err
}
