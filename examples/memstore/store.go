// Package memstore is a queue.Store in the memory of one process: the example of
// docs/stores.md. It passes the required part of storetest.
//
// A database does the same with transactions and indexes. What each method means
// for a row is in transitions.go; this file finds the rows.
package memstore

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

var _ queue.Store = (*Store)(nil)

// Store keeps rows until the process ends. It is safe for concurrent use.
type Store struct {
	lock   chan struct{} // holds a value while one call, or a transaction, has the rows
	rows   map[uuid.UUID]*row
	closed atomic.Bool
}

// row is a queue.Row with what pulling workers must know of it.
type row struct {
	queue.Row
	held bool // READY, and Promote has not made it claimable yet
}

// New returns an empty store.
func New() *Store {
	return &Store{lock: make(chan struct{}, 1), rows: make(map[uuid.UUID]*row)}
}

// Close ends the store: later calls return queue.ErrClosed.
func (s *Store) Close() error {
	s.closed.Store(true)
	return nil
}

// with calls do while no other call has the rows, with the store's time. Times have
// the precision of microseconds.
func (s *Store) with(ctx context.Context, op string, do func(now time.Time) error) error {
	release, err := s.acquire(ctx, op)
	if err != nil {
		return err
	}
	defer release()
	return do(time.Now().UTC().Truncate(time.Microsecond))
}

func (s *Store) acquire(ctx context.Context, op string) (release func(), err error) {
	if s.closed.Load() {
		return nil, fmt.Errorf("%s: %w", op, queue.ErrClosed)
	}
	if err := ctx.Err(); err != nil { // before select, which may choose either
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	select {
	case s.lock <- struct{}{}:
		return func() { <-s.lock }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w", op, ctx.Err())
	}
}

// Insert stores rows, all of them or none.
func (s *Store) Insert(ctx context.Context, rows ...*queue.NewRow) error {
	return s.with(ctx, "insert tasks", func(now time.Time) error { return s.insert(rows, now) })
}

func (s *Store) insert(rows []*queue.NewRow, now time.Time) error {
	fresh := make(map[uuid.UUID]*row)
	found := make([]*row, len(rows)) // that existed before
	for i, r := range rows {
		old := cmp.Or(s.rows[r.ID], fresh[r.ID])
		switch {
		case old == nil:
			fresh[r.ID] = newRow(r, now)
		case !queue.SameRequest(&old.Row, r.Row):
			return &queue.IDConflictError{ID: r.ID}
		default:
			found[i] = old
		}
	}
	maps.Copy(s.rows, fresh)
	for i, r := range rows {
		*r.Row, r.Existed = *s.rows[r.ID].copied(), found[i] != nil
	}
	return nil
}

// Get returns one row.
func (s *Store) Get(ctx context.Context, id uuid.UUID) (found *queue.Row, err error) {
	err = s.with(ctx, "get task", func(time.Time) error {
		r, ok := s.rows[id]
		if !ok {
			return queue.ErrNotFound
		}
		found = r.copied()
		return nil
	})
	return found, err
}

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
		req.Fence = uuid.New()
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

// Heartbeat renews leases.
func (s *Store) Heartbeat(ctx context.Context, lease time.Duration, claims ...queue.Claim) (renewed, lost []queue.Claim, err error) {
	err = s.with(ctx, "heartbeat", func(now time.Time) error {
		for _, claim := range claims {
			if r := s.rows[claim.ID]; r.runsUnder(claim) {
				r.LeaseExpiresAt = now.Add(lease).Truncate(time.Microsecond)
				renewed = append(renewed, claim)
			} else {
				lost = append(lost, claim)
			}
		}
		return nil
	})
	return renewed, lost, err
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
	case !r.under(claim) || r.Status != f.Status: // else this very call took effect before
		return time.Time{}, queue.ErrLeaseLost
	}
	return r.FinishedAt, nil
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

// Release gives back a claim whose function was interrupted.
func (s *Store) Release(ctx context.Context, claim queue.Claim) error {
	return s.end(ctx, "release task", claim, (*row).release)
}

// Unclaim gives back claims whose functions never began.
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

// Cancel makes a live row CANCELLED.
func (s *Store) Cancel(ctx context.Context, id uuid.UUID) (found *queue.Row, cancelled bool, err error) {
	err = s.with(ctx, "cancel task", func(now time.Time) error {
		r, ok := s.rows[id]
		if !ok {
			return queue.ErrNotFound
		}
		if cancelled = !r.Status.Final(); cancelled {
			r.end(queue.StatusCancelled, now)
		}
		found = r.copied()
		return nil
	})
	return found, cancelled, err
}

// Ping reports whether the store can be used.
func (s *Store) Ping(ctx context.Context) error {
	return s.with(ctx, "ping", func(time.Time) error { return nil })
}

// find returns up to limit rows that match, in an order.
func (s *Store) find(limit int, order func(a, b *row) int, matches func(*row) bool) []*row {
	var found []*row
	for _, r := range s.rows {
		if matches(r) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, order)
	return found[:min(limit, len(found))]
}
