package pgstore

import (
	"context"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Observe has observe called when the store begins something, with what that is,
// and the function that it returns when that has ended: for spans. Set it before
// the store is used. What concurrent callers ask for together, in one statement,
// is observed once, without the context of any of them.
func (s *Store) Observe(observe func(ctx context.Context, op string) (ended func(error))) {
	s.observe = observe
}

// Pool says how the connections are used.
func (s *Store) Pool() queue.PoolStats {
	stats := s.pool.Stat()
	waits, waited := s.reserve.Waits()
	return queue.PoolStats{
		Max: int(stats.MaxConns()), InUse: int(stats.AcquiredConns()), Idle: int(stats.IdleConns()),
		Waits: stats.EmptyAcquireCount() + waits, Waited: stats.EmptyAcquireWaitTime() + waited,
	}
}
