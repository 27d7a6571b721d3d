package queuetest

import (
	"sync"
	"time"
)

// Clock is a fake clock: it stands still until it is moved. A [Store] with a Clock has no
// other time, and its clients use the store's, so that retries, delays, expiries, leases,
// limits and schedules move only with it. What waits inside a process takes real time all
// the same: the timeout of a function, a pause between two polls. Where that matters, use
// a store without a Clock in a testing/synctest bubble.
//
// Make one with [NewClock]. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands at a time.
func NewClock(at time.Time) *Clock { return &Clock{now: at.UTC().Truncate(time.Microsecond)} }

// Now returns the clock's time, in UTC and with microseconds.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock by d; back, if d is negative, as a database's clock can be set.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d).Truncate(time.Microsecond)
}

// Set moves the clock to a time.
func (c *Clock) Set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = at.UTC().Truncate(time.Microsecond)
}
