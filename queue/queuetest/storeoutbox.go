package queuetest

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// DispatchFailed makes READY rows due for the sweeper, and notes why.
func (s *Store) DispatchFailed(ctx context.Context, reason string, swept bool, ids ...uuid.UUID) error {
	return s.with(ctx, "note failed dispatch", func(now time.Time) error {
		for _, id := range ids {
			if r, ok := s.rows[id]; ok && r.Status == queue.StatusReady {
				r.DispatchError, r.DispatchDueAt = reason, now
				if r.hold == parked { // due as soon as its queue is resumed
					r.DispatchDueAt = park(now)
				}
				if swept { // TakeStranded counted this dispatch
					r.DispatchTries = max(0, r.DispatchTries-1)
				}
			}
		}
		return nil
	})
}

// StrandedQueues returns the queues that have stranded rows.
func (s *Store) StrandedQueues(ctx context.Context, backend string) (queues []queue.StrandedQueue, err error) {
	err = s.with(ctx, "look for stranded tasks", func(now time.Time) error {
		names := make(map[string]bool)
		for _, r := range s.rows {
			if r.Status == queue.StatusReady && r.Backend == backend && !r.DispatchDueAt.After(now) && !s.isPaused(r.Queue) {
				names[r.Queue] = true
			}
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			queues = append(queues, queue.StrandedQueue{Backend: backend, Queue: name, At: now})
		}
		return nil
	})
	return queues, err
}

// TakeStranded takes stranded rows for dispatching.
func (s *Store) TakeStranded(ctx context.Context, q queue.StrandedQueue, limit int) (taken []*queue.Row, err error) {
	err = s.with(ctx, "take stranded tasks", func(now time.Time) error {
		first := s.find(limit, func(a, b *row) int { return a.DispatchDueAt.Compare(b.DispatchDueAt) }, func(r *row) bool {
			return r.Status == queue.StatusReady && r.Backend == q.Backend && r.Queue == q.Queue && !s.isPaused(r.Queue) &&
				!r.DispatchDueAt.After(q.At) && !r.RunAfter.After(now.Add(queue.ArmWithin))
		})
		for _, r := range first {
			r.DispatchDueAt = later(now, r.RunAfter).Add(queue.StrandedPause(r.DispatchTries))
			r.DispatchTries++
			r.DispatchError = ""
			taken = append(taken, r.light())
		}
		return nil
	})
	return taken, err
}
