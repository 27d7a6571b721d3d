package memstore

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Claim claims one row by its ID. The rules are queue's, shared by all stores.
func (s *Store) Claim(ctx context.Context, id uuid.UUID, req queue.ClaimRequest) (claimed *queue.Row, err error) {
	err = s.with(ctx, "claim task", func(now time.Time) error {
		r, ok := s.rows[id]
		if !ok {
			return queue.ErrNotFound
		}
		if req.Holds(&r.Row) { // the answer to an earlier copy of this request was lost
			claimed = r.copied()
			return nil
		}
		switch refusal := queue.WhyNotClaimed(r.copied(), req, now); {
		case refusal == nil:
			if twin := s.twin(r, now); twin != nil {
				return &queue.NotClaimedError{Reason: queue.ErrDuplicate, Row: r.copied(), Holder: twin.copied()}
			}
			r.claim(now, req.ClaimID, req.Worker, req.Lease)
			claimed = r.copied()
			return nil
		case isWorkerLost(refusal):
			r.loseWorker(now)
			return &queue.NotClaimedError{Reason: queue.ErrWorkerLost, Row: r.copied()}
		default:
			return refusal
		}
	})
	return claimed, err
}

// ClaimNext claims rows that are READY and due.
func (s *Store) ClaimNext(ctx context.Context, req queue.ClaimNextRequest) (claimed []*queue.Row, err error) {
	if req.Fence == uuid.Nil {
		req.Fence = queue.NewClaimID()
	}
	err = s.with(ctx, "claim next tasks", func(now time.Time) error {
		first := s.find(max(0, req.Limit), inClaimOrder, func(r *row) bool {
			return r.Status == queue.StatusReady && !r.held && r.Attempts < r.MaxAttempts && slices.Contains(req.Tasks, r.Task) &&
				(len(req.Queues) == 0 || slices.Contains(req.Queues, r.Queue)) && (req.Backend == "" || req.Backend == r.Backend)
		})
		for _, found := range req.Claimable(copied(first)) {
			r := s.rows[found.ID]
			r.claim(now, queue.PullClaimID(req.Fence, r.ID), req.Worker, req.Lease)
			claimed = append(claimed, r.copied())
		}
		return nil
	})
	return claimed, err
}

// inClaimOrder is highest priority first, then first come.
func inClaimOrder(a, b *row) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), a.EnqueuedAt.Compare(b.EnqueuedAt), bytes.Compare(a.ID[:], b.ID[:]))
}

// Claimed returns what a ClaimNext with this fence claimed.
func (s *Store) Claimed(ctx context.Context, fence uuid.UUID) (claims []queue.Claim, err error) {
	first, last := queue.PullClaimIDs(fence)
	err = s.with(ctx, "look for claimed tasks", func(time.Time) error {
		for _, r := range s.rows {
			if r.Status == queue.StatusRunning && bytes.Compare(first[:], r.ClaimID[:]) <= 0 && bytes.Compare(r.ClaimID[:], last[:]) <= 0 {
				claims = append(claims, r.Claim())
			}
		}
		return nil
	})
	return claims, err
}

// Promote makes due and expired rows claimable.
func (s *Store) Promote(ctx context.Context, limit int) (p queue.PromoteResult, err error) {
	err = s.with(ctx, "promote tasks", func(now time.Time) error {
		byLease := func(a, b *row) int { return a.LeaseExpiresAt.Compare(b.LeaseExpiresAt) }
		expired := func(r *row) bool { return r.Status == queue.StatusRunning && !r.LeaseExpiresAt.After(now) }
		for _, r := range s.find(limit, byLease, func(r *row) bool { return expired(r) && r.Attempts >= r.MaxAttempts }) {
			r.loseWorker(now)
			p.Failed++
		}
		for _, r := range s.find(limit, byLease, func(r *row) bool { return expired(r) && r.Attempts < r.MaxAttempts }) {
			r.reclaim(now)
			p.Reclaimed++
		}
		byTime := func(a, b *row) int { return a.due().Compare(b.due()) }
		for _, r := range s.find(limit, byTime, func(r *row) bool { return r.Status == queue.StatusReady && r.held && !r.due().After(now) }) {
			r.held = false
			p.Released++
		}
		p.Claimable, p.Next = s.next(now)
		return nil
	})
	return p, err
}

// next reports whether a row is claimable now, and how long until one is.
func (s *Store) next(now time.Time) (claimable bool, next time.Duration) {
	var first time.Time
	for _, r := range s.rows {
		at := r.LeaseExpiresAt // of a RUNNING row
		switch {
		case r.Status == queue.StatusReady && !r.held:
			claimable = claimable || r.Attempts < r.MaxAttempts
		case r.held:
			at = r.due()
		}
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if first.IsZero() {
		return claimable, 0
	}
	return claimable, max(first.Sub(now), time.Microsecond)
}
