package pgstore

import (
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// NewWithTimeout is New with another AcquireTimeout.
func NewWithTimeout(pool *pgxpool.Pool, acquire time.Duration) *Store {
	s := New(pool)
	s.acquireTimeout = acquire
	return s
}

// AloneUpTo sets how many concurrent callers have statements of their own.
func (s *Store) AloneUpTo(callers int) { s.merge(callers) }
