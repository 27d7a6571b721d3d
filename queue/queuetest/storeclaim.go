package queuetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
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
		if req.Holds(&r.Row) { // the answer to an earlier request was lost
			claimed = r.copied()
			return nil
		}
		claimed, err = s.claim(r, req, now)
		return err
	})
	return claimed, err
}

func (s *Store) claim(r *row, req queue.ClaimRequest, now time.Time) (*queue.Row, error) {
	refusal := queue.WhyNotClaimed(r.copied(), req, now)
	if s.isPaused(r.Queue) && (refusal == nil || errors.Is(refusal, queue.ErrUnknownTask)) {
		return nil, r.parkDelivered(now)
	}
	switch {
	case refusal == nil:
		s.expireTwin(r, now)
		if twin := s.twin(r, now); twin != nil {
			return nil, &queue.NotClaimedError{Reason: queue.ErrDuplicate, Row: r.copied(), Holder: twin.copied()}
		}
		if refusal := s.overLimit(r, req, now); refusal != nil {
			return nil, refusal
		}
		s.countOutcome(r) // an operator may retry it
		r.claim(now, req.ClaimID, req.Worker, req.Lease)
		return s.started(r, now), nil
	case isLost(refusal):
		if err := s.insertLetter(r.loseWorker(now), now); err != nil {
			return nil, err
		}
		return nil, &queue.NotClaimedError{Reason: queue.ErrWorkerLost, Row: r.copied()}
	case isExpired(refusal):
		r.expire(now)
		return nil, &queue.NotClaimedError{Reason: queue.ErrExpired, Row: r.copied()}
	}
	return nil, refusal
}

// ClaimNext claims rows that are READY and due, and that no limit concerns.
func (s *Store) ClaimNext(ctx context.Context, req queue.ClaimNextRequest) (claimed []*queue.Row, err error) {
	if req.Fence == uuid.Nil {
		req.Fence = queue.NewClaimID()
	}
	err = s.with(ctx, "claim next tasks", func(now time.Time) error {
		first := s.find(req.Limit, inClaimOrder, func(r *row) bool {
			return r.hold == free && s.wanted(r, req, now) && !s.limits.concern(r)
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

// wanted reports whether a request is for a row, which may have to wait all the same.
func (s *Store) wanted(r *row, req queue.ClaimNextRequest, now time.Time) bool {
	return r.Status == queue.StatusReady && r.Attempts < r.MaxAttempts && slices.Contains(req.Tasks, r.Task) && queue.HasKey(req.Keys, &r.Row) &&
		(len(req.Queues) == 0 || slices.Contains(req.Queues, r.Queue)) && (req.Backend == "" || req.Backend == r.Backend) &&
		!r.Expired(now) && !s.isPaused(r.Queue)
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
