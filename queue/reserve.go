package queue

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// reservation is what a claim of many rows may claim.
type reservation struct {
	limit, prefetch int // prefetch of limit are for tasks that wait in the buffer
	notPrefetch     []uuid.UUID
}

// lingerTime is how long a slot may be idle while tasks that are about to end leave
// room for a larger claim.
const lingerTime = 5 * time.Millisecond

// busyError is the ErrBusy of a claim of many rows.
type busyError struct {
	retryIn time.Duration // when to retry even if freed has not received a value; 0: then only
}

func (*busyError) Error() string        { return ErrBusy.Error() }
func (*busyError) Is(target error) bool { return target == ErrBusy }

// atMost is how long to wait for freed.
func (b *busyError) atMost(limit time.Duration) time.Duration {
	if b.retryIn > 0 {
		return min(b.retryIn, limit)
	}
	return limit
}

// reserve takes a slot for a task that is yet to be claimed. With none free it
// returns ErrBusy, and after Shutdown ErrShutdown. unreserveSlot gives it up.
func (e *Executor) reserve() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return ErrShutdown
	}
	if e.reserved >= e.cfg.Concurrency {
		return ErrBusy
	}
	e.addReserved(1)
	e.running++
	return nil
}

// reserveBatch reserves a claim of up to limit rows: the free slots, and what may be
// prefetched. While functions return and outcomes are stored within moments, it
// returns a busyError until a third of that is free or a slot has been idle for
// lingerTime: one claim of many rows costs little more than one of a single row.
func (e *Executor) reserveBatch(limit int) (reservation, error) {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return reservation{}, ErrShutdown
	}
	if e.fitting > 0 {
		limit = min(limit, e.fitting)
	}
	turning := e.turning(now)
	ahead := e.prefetchLimit(turning)
	all := e.cfg.Concurrency + ahead
	n, enough := min(limit, all-e.reserved), max(1, min(limit, (turning+ahead)/3))
	if n < enough {
		if wait, busy := e.linger(n, now); busy {
			e.wakeAt = max(e.wakeAt, all-enough)
			return reservation{}, &busyError{retryIn: wait}
		}
	}
	free := min(n, max(0, e.cfg.Concurrency-(e.reserved-e.settling)))
	e.addReserved(n)
	e.wakeAt = -1
	if n == limit && e.reserved < all {
		e.signalFreed() // the rest is for another worker, which may wait for the value that woke this one
	}
	return reservation{limit: n, prefetch: n - free, notPrefetch: slices.Clone(e.bounced)}, nil
}

// linger reports whether a claim of only n rows should wait for others to end, and
// how long at most; 0 means until there is a free slot. e.mu is held.
func (e *Executor) linger(n int, now time.Time) (wait time.Duration, busy bool) {
	if n < 1 || e.idleSince.IsZero() {
		return 0, true
	}
	if e.settling == 0 && (e.typicalDuration == unknownDuration || e.typicalDuration >= lingerTime) {
		return 0, false
	}
	wait = lingerTime - now.Sub(e.idleSince)
	return wait, wait > 0
}

// releaseUnused gives up what a claim that found these tasks did not use of its
// reservation, and reports whether there may be more tasks. A claim with prefetch
// that found less than its limit may have ended before a task that must not wait:
// nothing is prefetched until a function returns, which frees a slot for that task.
// Or it found all that fit into MaxClaimBytes.
func (e *Executor) releaseUnused(r reservation, rows []*Row) (more bool) {
	found, bytes := len(rows), 0
	for _, row := range rows {
		bytes += len(row.Args)
	}
	full := found > 0 && bytes > MaxClaimBytes-e.client.cfg.MaxBytes
	e.mu.Lock()
	if found < r.limit && r.prefetch > 0 && !full {
		e.prefetchPaused = true
	}
	switch {
	case full:
		e.fitting = 2 * found
	case found == r.limit && e.fitting < e.maxClaims():
		e.fitting *= 2
	default:
		e.fitting = 0
	}
	e.mu.Unlock()
	e.unreserve(r.limit - found)
	return found == r.limit || full || r.prefetch > 0 && found >= r.limit-r.prefetch
}
