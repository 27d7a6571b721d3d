package queuetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

var (
	_ queue.Store          = (*Store)(nil)
	_ queue.Operator       = (*Store)(nil)
	_ queue.Lifecycle      = (*Store)(nil)
	_ queue.BacklogCounter = (*Store)(nil)
	_ queue.Limiter        = (*Store)(nil)
	_ queue.Scheduler      = (*Store)(nil)
	_ queue.Grouper        = (*Store)(nil)
	_ queue.FigureStore    = (*Store)(nil)
	_ queue.TxReader       = (*Store)(nil)
	_ queue.Clocked        = (*Store)(nil)
)

// Store is a [queue.Store] in the memory of this process, which forgets everything when
// the process ends. It does all that the stores on databases do, so whatever a program
// uses can be tested with it, and passes the same suite (queue/storetest). It is safe for
// concurrent use. Make one with [NewStore].
//
// A transaction ([Store.Begin]) has all rows to itself until it ends, as in SQLite.
type Store struct {
	lock   chan struct{} // holds a value while one call, or a transaction, has all below
	closed atomic.Bool
	clock  *Clock // nil: now is not that of a Clock
	now    func() time.Time

	rows      map[uuid.UUID]*row
	gates     map[string]*queue.Gate // by queue
	limits    limits
	schedules map[string]*schedule
	groups    map[uuid.UUID]*group
	figures   map[time.Time][]queue.HourFigures // by hour
	touched   map[string]time.Time
	documents map[string]document
	audit     []queue.AuditEntry // oldest first
}

// row is a queue.Row with what keeps it from being claimed.
type row struct {
	queue.Row
	hold    hold
	acted   acted
	counted bool // in figures, if it has ended
}

// hold is what keeps a READY row from being claimed by ClaimNext.
type hold int

const (
	free     hold = iota
	delayed       // its time is in the future, or Promote has not made it claimable yet
	parked        // its queue is or was paused
	limited       // it waits for a limit
	admitted      // it may be claimed now, and a ticket is on its way
)

// NewStore returns an empty store. Its time is that of clock; nil is the time of package
// time, which in a testing/synctest bubble is the bubble's.
func NewStore(clock *Clock) *Store {
	s := &Store{
		lock: make(chan struct{}, 1), clock: clock, now: time.Now,
		rows: make(map[uuid.UUID]*row), gates: make(map[string]*queue.Gate), limits: newLimits(),
		schedules: make(map[string]*schedule), groups: make(map[uuid.UUID]*group), figures: make(map[time.Time][]queue.HourFigures), touched: make(map[string]time.Time), documents: make(map[string]document),
	}
	if clock != nil {
		s.now = clock.Now
	}
	return s
}

// Now is the store's time, which clients use, too.
func (s *Store) Now() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

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
	defer s.countMembers()
	return do(s.Now())
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
	return s.with(ctx, "insert tasks", func(now time.Time) error { return s.insert(ctx, rows, now) })
}

// Get returns one row.
func (s *Store) Get(ctx context.Context, id uuid.UUID) (*queue.Row, error) {
	return s.GetTx(ctx, nil, id)
}

// GetTx is Get as a part of a transaction.
func (s *Store) GetTx(ctx context.Context, t queue.Tx, id uuid.UUID) (found *queue.Row, err error) {
	err = s.withOrIn(ctx, "get task", t, func(time.Time) error {
		r, ok := s.rows[id]
		if !ok {
			return queue.ErrNotFound
		}
		found = r.copied()
		return nil
	})
	return found, err
}

// Cancel makes a live row CANCELLED.
func (s *Store) Cancel(ctx context.Context, id uuid.UUID) (found *queue.Row, cancelled bool, err error) {
	err = s.with(ctx, "cancel task", func(now time.Time) error {
		r, ok := s.rows[id]
		if !ok {
			return queue.ErrNotFound
		}
		if cancelled = !r.Status.Final(); cancelled {
			r.cancel(now)
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
	return found[:min(max(0, limit), len(found))]
}

// any reports whether a row matches.
func (s *Store) any(matches func(*row) bool) bool {
	for _, r := range s.rows {
		if matches(r) {
			return true
		}
	}
	return false
}

func isLost(err error) bool    { return errors.Is(err, queue.ErrWorkerLost) }
func isExpired(err error) bool { return errors.Is(err, queue.ErrExpired) }
