package storekit

import (
	"context"
	"sync/atomic"
	"time"
)

// MinConns is the smallest pool: one connection of it is kept for heartbeats and
// for what ends a claim.
const MinConns = 2

// Reserve keeps one connection of a pool free for urgent calls: all others share
// one connection less than the pool has. Claims and inserts that wait for each
// other can then never cost a running task its lease. The zero value reserves
// nothing. It is safe for concurrent use.
type Reserve struct {
	ordinary chan struct{} // holds a value for each ordinary call that has, or is getting, a connection
	turns    bool          // urgent calls count as ordinary
	waits    atomic.Int64
	waited   atomic.Int64 // nanoseconds
}

// NewReserve returns the reserve of a pool of conns connections. A pool of one has
// none.
func NewReserve(conns int) *Reserve { return &Reserve{ordinary: make(chan struct{}, max(1, conns-1))} }

// NewTurns returns a reserve that keeps no connection of a pool of conns for urgent
// calls. It makes all calls wait in the order of their arrival: package database/sql
// picks one at random, so that among hundreds of calls some would wait for many times
// as long as the others.
func NewTurns(conns int) *Reserve { return &Reserve{ordinary: make(chan struct{}, conns), turns: true} }

// Waits returns how often calls have waited, and for how long in all.
func (r *Reserve) Waits() (n int64, waited time.Duration) {
	return r.waits.Load(), time.Duration(r.waited.Load())
}

// Enter waits until a call may take a connection, and returns the function to be
// called when the connection is free again. The error is ctx's.
func (r *Reserve) Enter(ctx context.Context, urgent bool) (leave func(), err error) {
	if urgent && !r.turns || r.ordinary == nil {
		return func() {}, nil
	}
	leave = func() { <-r.ordinary }
	select {
	case r.ordinary <- struct{}{}:
		return leave, nil
	default:
	}
	began := time.Now()
	defer func() {
		r.waits.Add(1)
		r.waited.Add(int64(time.Since(began)))
	}()
	select {
	case r.ordinary <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
