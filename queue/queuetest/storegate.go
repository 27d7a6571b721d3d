package queuetest

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// A parked row has its DispatchDueAt moved by 10,000 years, and one that waits for a limit
// without a delivery by 20,000 (queue.ParkedFrom, queue.LimitedFrom).
const parkDays = 3652425

func park(due time.Time) time.Time   { return due.AddDate(0, 0, parkDays) }
func unpark(due time.Time) time.Time { return due.AddDate(0, 0, -parkDays) }

// PauseQueue keeps rows of a queue from being claimed.
func (s *Store) PauseQueue(ctx context.Context, name, by, reason string) (g queue.Gate, changed bool, err error) {
	err = s.with(ctx, "pause queue", func(now time.Time) error {
		if changed = !s.isPaused(name); changed {
			s.gates[name] = &queue.Gate{Queue: name, PausedAt: now, PausedBy: by, PauseReason: reason, Parked: true}
		}
		g = *s.gates[name]
		return nil
	})
	return g, changed, err
}

// ResumeQueue lets rows of a queue be claimed again.
func (s *Store) ResumeQueue(ctx context.Context, name string) (g queue.Gate, changed bool, err error) {
	err = s.with(ctx, "resume queue", func(time.Time) error {
		g = queue.Gate{Queue: name}
		if gate := s.gates[name]; gate != nil {
			g = *gate
			s.gates[name] = &queue.Gate{Queue: name, Parked: gate.Parked}
		}
		changed = g.Paused()
		return nil
	})
	return g, changed, err
}

// Gates returns the queues that are paused, and those that may have parked rows.
func (s *Store) Gates(ctx context.Context) (gates []queue.Gate, err error) {
	err = s.with(ctx, "read gates", func(time.Time) error {
		for _, name := range slices.Sorted(maps.Keys(s.gates)) {
			if g := s.gates[name]; g.Paused() || g.Parked {
				gates = append(gates, *g)
			}
		}
		return nil
	})
	return gates, err
}

func (s *Store) isPaused(name string) bool {
	g := s.gates[name]
	return g != nil && g.Paused()
}

// gatesNeedWork reports whether there are rows to be parked, or parked rows to be made
// claimable again.
func (s *Store) gatesNeedWork() bool {
	for name, g := range s.gates {
		if g.Parked && (!g.Paused() || s.any(func(r *row) bool { return r.toBeParked(name) })) {
			return true
		}
	}
	return false
}

// toBeParked reports whether a row is one of this queue that Park parks.
func (r *row) toBeParked(name string) bool {
	return r.Status == queue.StatusReady && r.Queue == name && r.DispatchDueAt.Before(queue.ParkedFrom)
}

func byDispatch(a, b *row) int { return a.DispatchDueAt.Compare(b.DispatchDueAt) }

// Park parks READY rows of a paused queue.
func (s *Store) Park(ctx context.Context, name string, limit int) (n int, err error) {
	err = s.with(ctx, "park tasks", func(time.Time) error {
		if !s.isPaused(name) {
			return nil
		}
		rows := s.find(limit, byDispatch, func(r *row) bool { return r.toBeParked(name) })
		for _, r := range rows {
			r.DispatchDueAt, r.hold = park(r.DispatchDueAt), parked
		}
		n = len(rows)
		return nil
	})
	return n, err
}

// Unpark makes parked rows of a queue that is not paused claimable again.
func (s *Store) Unpark(ctx context.Context, name string, limit int) (n int, due []*queue.Row, err error) {
	err = s.with(ctx, "unpark tasks", func(now time.Time) error {
		g := s.gates[name]
		if g == nil || g.Paused() || !g.Parked {
			return nil
		}
		isParked := func(r *row) bool { return r.Parked() && r.Queue == name }
		rows := s.find(limit, byDispatch, isParked)
		for _, r := range rows {
			if r.DispatchDueAt = unpark(r.DispatchDueAt); !r.DispatchDueAt.After(now) {
				r.DispatchDueAt = now.Add(queue.DispatchGrace)
				due = append(due, r.light())
			}
			r.ready(now)
		}
		n, g.Parked = len(rows), s.any(isParked)
		return nil
	})
	return n, due, err
}

// parkDelivered parks a row whose delivery came while its queue was paused: the delivery
// was its ticket, so it is due for another one as soon as the queue is resumed. A row that
// an operator wanted to retry stays FAILED.
func (r *row) parkDelivered(now time.Time) error {
	if r.Status == queue.StatusRunning {
		r.reclaim(now)
	}
	if r.Status == queue.StatusReady {
		r.DispatchDueAt, r.hold = park(now), parked
	}
	return &queue.NotClaimedError{Reason: queue.ErrPaused, Row: r.copied()}
}
