package sqlstore

import "github.com/claimcheck-go/claimcheck/queue"

// Pool returns how the connections are used.
func (s *Store) Pool() queue.PoolStats {
	writer := s.writer.Stats()
	pool := queue.PoolStats{
		Max: writer.MaxOpenConnections, InUse: writer.InUse, Idle: writer.Idle,
		Waits: writer.WaitCount, Waited: writer.WaitDuration,
	}
	turns, waited := s.turns.Waits()
	pool.Waits += turns
	pool.Waited += waited
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
