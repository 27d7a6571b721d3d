// Package memstore is a queue.Store in the memory of one process: the example of
// docs/stores.md. It passes the required part of storetest.
//
// A database does the same with transactions and indexes. What each method means
// for a row is in transitions.go; the other files find the rows.
package memstore

import (
	"context"
	"fmt"
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
