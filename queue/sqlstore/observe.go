package sqlstore

import (
	"context"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Observe has observe called when the store begins something, with what that is,
// and the function that it returns when that has ended: for spans. Set it before
// the store is used.
func (s *Store) Observe(observe func(ctx context.Context, op string) (ended func(error))) {
	s.observe = observe
}

// Pool says how the connections are used.
func (s *Store) Pool() queue.PoolStats {
	writer := s.writer.Stats()
	pool := queue.PoolStats{
		Max: writer.MaxOpenConnections, InUse: writer.InUse, Idle: writer.Idle,
		Waits: writer.WaitCount, Waited: writer.WaitDuration,
	}
	if s.reader != s.writer {
		reader := s.reader.Stats()
		pool.Max += reader.MaxOpenConnections
		pool.InUse += reader.InUse
		pool.Idle += reader.Idle
		pool.Waits += reader.WaitCount
		pool.Waited += reader.WaitDuration
	}
	return pool
}
