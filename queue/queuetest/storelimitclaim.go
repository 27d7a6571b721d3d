package queuetest

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// room is how much of the limits is used, while rows are being claimed.
type room struct {
	limits  *limits
	now     time.Time
	running map[scope]int
	started map[scope]int
	expired bool // a claim that counts has expired
}

// room counts what runs but for one row, which may be nil.
func (s *Store) room(now time.Time, except *row) *room {
	m := &room{limits: &s.limits, now: now, running: make(map[scope]int), started: make(map[scope]int)}
	for _, r := range s.rows {
		if r.Status == queue.StatusRunning && r != except {
			m.take(&r.Row)
			m.expired = m.expired || !r.LeaseExpiresAt.After(now)
		}
	}
	clear(m.started) // those are recorded
	return m
}

// reserve takes the room of rows whose tickets are on their way, and reports whether r is
// one of them.
func (m *room) reserve(s *Store, r *row) (has bool) {
	from := m.now.Add(queue.DispatchGrace - queue.AdmitGrace)
	for _, other := range s.rows {
		if other.Status == queue.StatusReady && other.hold == admitted && other.DispatchDueAt.After(from) {
			m.take(&other.Row)
			has = has || other == r
		}
	}
	return has
}

// take takes the room of one row.
func (m *room) take(r *queue.Row) {
	for _, b := range m.limits.of(r) {
		m.running[b.scope]++
		m.started[b.scope]++
	}
}

// fits reports whether another row fits into its limits, and how long until it does if
// only limits of starts keep it from that.
func (m *room) fits(r *queue.Row) (fits bool, wait time.Duration) {
	fits = true
	for _, b := range m.limits.of(r) {
		if b.Running > 0 && m.running[b.scope] >= b.Running {
			return false, 0
		}
		if wait := m.next(b); wait > 0 {
			fits = false
		}
	}
	if !fits {
		for _, b := range m.limits.of(r) {
			wait = max(wait, m.next(b))
		}
	}
	return fits, wait
}

// next is how long until a limit of starts allows another one; 0 if it does now.
func (m *room) next(b bound) time.Duration {
	starts := m.limits.within(b, m.now)
	if b.Starts == 0 || len(starts)+m.started[b.scope] < b.Starts {
		return 0
	}
	if len(starts) == 0 {
		return time.Millisecond
	}
	return max(starts[0].Add(b.Per).Sub(m.now), time.Millisecond)
}

// overLimit returns why limits keep a row from being claimed by a delivery, after it has
// made it wait for them; nil if none does.
func (s *Store) overLimit(r *row, req queue.ClaimRequest, now time.Time) error {
	if !s.limits.concern(r) {
		return nil
	}
	m := s.room(now, r)
	fits, wait := m.fits(&r.Row)
	if !fits && wait == 0 && m.expired {
		if _, _, err := s.endLeases(len(s.rows), now); err != nil {
			return err
		}
		m = s.room(now, r)
		fits, wait = m.fits(&r.Row)
	}
	if fits && !m.reserve(s, r) {
		fits, _ = m.fits(&r.Row)
	}
	if fits {
		return nil
	}
	refusal := &queue.NotClaimedError{Reason: queue.ErrLimited, Wait: wait, Room: true, Limits: m.reached(r)}
	if r.Status != queue.StatusFailed { // else an operator wanted to retry it
		refusal.Wait = s.waitFor(r, req, m, wait)
	}
	refusal.Row = r.copied()
	return refusal
}

// reached returns the limits of a row that have no room.
func (m *room) reached(r *row) (list []queue.LimitUse) {
	for _, b := range m.limits.of(&r.Row) {
		if b.Running > 0 && m.running[b.scope] >= b.Running || m.next(b) > 0 {
			list = append(list, queue.LimitUse{Limit: b.Limit, Key: b.key})
		}
	}
	return list
}

// waitFor makes a row wait for its limits: without a delivery, or, if only limits of starts
// are reached, for one at the time when its turn has come, or the one that it expects.
func (s *Store) waitFor(r *row, req queue.ClaimRequest, m *room, wait time.Duration) time.Duration {
	if r.Status == queue.StatusRunning {
		r.reclaim(m.now)
	}
	r.hold = limited
	if wait == 0 {
		r.DispatchDueAt = park(park(m.now))
		return 0
	}
	turn, longest := wait, wait
	for _, b := range m.limits.of(&r.Row) {
		if m.next(b) > 0 {
			turn = max(turn, wait+time.Duration(s.waitingFor(b.scope, r))*b.Per/time.Duration(b.Starts))
			longest = max(longest, turn+b.Per)
		}
	}
	if left, kept := req.Kept(&r.Row, m.now, longest); kept {
		return left
	}
	if used := r.DispatchDueAt; m.now.Add(turn + queue.DispatchGrace).Truncate(time.Microsecond).Equal(used) {
		turn += time.Millisecond // another time than that of the ticket that is used up
	}
	r.DispatchDueAt = m.now.Add(turn + queue.DispatchGrace).Truncate(time.Microsecond)
	return turn
}

// waitingFor counts the other rows that wait and that a limit concerns.
func (s *Store) waitingFor(of scope, except *row) (n int) {
	for _, r := range s.rows {
		if r.Status == queue.StatusReady && r.hold >= limited && r != except &&
			slices.ContainsFunc(s.limits.of(&r.Row), func(b bound) bool { return b.scope == of }) {
			n++
		}
	}
	return n
}

// ClaimLimited claims rows that limits concern.
func (s *Store) ClaimLimited(ctx context.Context, req queue.ClaimNextRequest) (claimed []*queue.Row, wait time.Duration, err error) {
	if req.Fence == uuid.Nil {
		req.Fence = queue.NewClaimID()
	}
	err = s.with(ctx, "claim limited tasks", func(now time.Time) error {
		for _, r := range s.find(len(s.rows), inClaimOrder, func(r *row) bool { return r.hold == free && s.wanted(r, req, now) && s.limits.concern(r) }) {
			r.hold = limited
		}
		waiting := s.find(len(s.rows), inClaimOrder, func(r *row) bool {
			return r.hold >= limited && s.wanted(r, req, now) && !r.RunAfter.After(now)
		})
		m := s.room(now, nil)
		fits := func(r *row) bool { fits, _ := m.fits(&r.Row); return fits }
		if m.expired && len(waiting) > 0 && !slices.ContainsFunc(waiting, fits) {
			if _, _, err := s.endLeases(len(s.rows), now); err != nil {
				return err
			}
			m = s.room(now, nil)
		}
		wait = m.shortest(waiting)
		share := share{limit: req.Limit, othersFirst: req.OthersFirst}
		if req.Share {
			for _, r := range s.find(req.Limit, inClaimOrder, func(r *row) bool { return r.hold == free && s.wanted(r, req, now) && !s.limits.concern(r) }) {
				share.others = append(share.others, r.Priority)
			}
		}
		for _, r := range s.choose(waiting, m, &share) {
			r.claim(now, queue.PullClaimID(req.Fence, r.ID), req.Worker, req.Lease)
			claimed = append(claimed, s.started(r, now))
		}
		return nil
	})
	return claimed, wait, err
}

// shortest is how long until one of the rows fits that only limits of starts keep from it.
func (m *room) shortest(rows []*row) (wait time.Duration) {
	for _, r := range rows {
		if _, until := m.fits(&r.Row); until > 0 && (wait == 0 || until < wait) {
			wait = until
		}
	}
	return wait
}

// Admit chooses rows that wait for a limit and may be claimed now.
func (s *Store) Admit(ctx context.Context, req queue.AdmitRequest) (chosen []*queue.Row, err error) {
	err = s.with(ctx, "admit limited tasks", func(now time.Time) error {
		if req.Row == nil {
			s.returnLost(now)
		} else if !s.limits.any() {
			return nil
		}
		waiting := s.find(len(s.rows), inClaimOrder, func(r *row) bool {
			return r.Status == queue.StatusReady && r.hold == limited && r.Attempts < r.MaxAttempts && r.Backend == req.Backend &&
				req.Knows(r.Task) && queue.HasKey(req.Keys, &r.Row) && !s.isPaused(r.Queue) && (req.Row == nil || s.limits.share(&r.Row, req.Row))
		})
		m := s.room(now, nil)
		m.reserve(s, nil)
		for _, r := range s.choose(waiting, m, &share{limit: req.Limit}) {
			r.hold, r.DispatchDueAt = admitted, now.Add(queue.DispatchGrace)
			chosen = append(chosen, r.light())
		}
		if len(chosen) > 0 {
			return nil
		}
		for _, r := range waiting { // which only rates keep from being claimed
			if fits, wait := m.fits(&r.Row); !fits && wait > 0 && len(chosen) < req.Limit && !r.DispatchDueAt.Before(queue.LimitedFrom) {
				m.take(&r.Row)
				r.DispatchDueAt = now.Add(queue.DispatchGrace)
				chosen = append(chosen, r.light())
			}
		}
		return nil
	})
	return chosen, err
}

// returnLost makes admitted rows wait again whose tickets were lost, or refused by
// processes that do not know their tasks.
func (s *Store) returnLost(now time.Time) {
	for _, r := range s.rows {
		if r.Status == queue.StatusReady && r.hold == admitted && !r.DispatchDueAt.After(now) {
			r.hold = limited
		}
	}
}

// share reports whether a row shares a limit with another one, or has none any more.
func (l *limits) share(r, with *queue.Row) bool {
	bounds, others := l.of(r), l.of(with)
	return len(bounds) == 0 || slices.ContainsFunc(bounds, func(b bound) bool {
		return slices.ContainsFunc(others, func(o bound) bool { return o.scope == b.scope })
	})
}

// HoldLimited makes rows wait for the limits that concern them.
func (s *Store) HoldLimited(ctx context.Context, backends []string, limit int) (n int, err error) {
	err = s.with(ctx, "hold limited tasks", func(time.Time) error {
		for _, r := range s.find(limit, inClaimOrder, func(r *row) bool {
			return r.Status == queue.StatusReady && r.hold == free && slices.Contains(backends, r.Backend) && !s.isPaused(r.Queue) && s.limits.concern(r)
		}) {
			r.hold = limited
			n++
		}
		return nil
	})
	return n, err
}

// lane is what rows that wait for the same limits have in common, and laneTurn its turns
// at one priority.
type (
	lane     struct{ backend, queue, task, key string }
	laneTurn struct {
		lane
		priority int
	}
)

func laneOf(r *row) lane { return lane{r.Backend, r.Queue, r.Task, r.LimitKey} }

func (l lane) compare(o lane) int {
	return cmp.Or(cmp.Compare(l.backend, o.backend), cmp.Compare(l.queue, o.queue), cmp.Compare(l.task, o.task), cmp.Compare(l.key, o.key))
}

// choose chooses rows, which are in the order of claims, and takes their room: highest
// priority first, then one of each lane after the other, beginning with the lane whose
// last turn at this priority was longest ago.
func (s *Store) choose(rows []*row, m *room, share *share) (chosen []*row) {
	type place struct{ round, last int }
	places, rounds := make(map[*row]place, len(rows)), make(map[laneTurn]int)
	for _, r := range rows {
		of := laneTurn{laneOf(r), r.Priority}
		places[r] = place{rounds[of], s.limits.turns[of]}
		rounds[of]++
	}
	slices.SortStableFunc(rows, func(a, b *row) int {
		p, q := places[a], places[b]
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(p.round, q.round), cmp.Compare(p.last, q.last), laneOf(a).compare(laneOf(b)))
	})
	for _, r := range rows {
		if fits, _ := m.fits(&r.Row); !fits {
			continue
		}
		if share.isFull(r.Priority, len(chosen)) {
			break
		}
		m.take(&r.Row)
		s.limits.turn++
		s.limits.turns[laneTurn{laneOf(r), r.Priority}] = s.limits.turn
		chosen = append(chosen, r)
	}
	return chosen
}

// share is how a pull is shared with the rows without a limit: the highest priority comes
// first, and at the same one both kinds take turns.
type share struct {
	limit       int
	others      []int // the priorities of the first rows without a limit
	othersFirst bool

	given        int // how many of others have been given a place
	priority     int
	mine, theirs int // how many rows of this priority have got one
}

// isFull gives places to those of the others that come before a row of a priority, and
// reports whether there is none for it. Else the row has got its place. chosen is how many
// rows were chosen before.
func (s *share) isFull(priority, chosen int) bool {
	if chosen == 0 || priority != s.priority {
		s.priority, s.mine, s.theirs = priority, 0, 0
	}
	for chosen+s.given < s.limit {
		if s.given >= len(s.others) || !s.before(priority, s.others[s.given]) {
			s.mine++
			return false
		}
		s.given++
	}
	return true
}

// before reports whether one of the others comes before a row.
func (s *share) before(priority, other int) bool {
	if other != priority {
		return other > priority
	}
	if s.theirs > s.mine || s.theirs == s.mine && !s.othersFirst {
		return false
	}
	s.theirs++
	return true
}
