package queue

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Shutdown stops claiming and waits for the running tasks. When ctx ends, the
// contexts of the functions still running are cancelled with [ErrShutdown], and
// the claims of those that return within linger are released without counting the
// attempt. The claims of the others expire with their leases, and the error says
// how many those are. Shutdown may be called again, also concurrently, with a ctx
// that has ended, to cut an earlier call short.
func (e *Executor) Shutdown(ctx context.Context, linger time.Duration) error {
	e.mu.Lock()
	if !e.closing {
		e.closing = true
		close(e.stopping)
		e.unclaimBuffered(len(e.buffer))
	}
	e.mu.Unlock()
	if e.drained(ctx) {
		return nil
	}
	e.mu.Lock()
	if !e.interrupted {
		e.interrupted = true
		close(e.interrupt)
	}
	e.mu.Unlock()
	e.each(func(r *activeRun) { r.cancel(ErrShutdown) })
	lingering, cancel := context.WithTimeout(context.WithoutCancel(ctx), linger)
	defer cancel()
	if e.drained(lingering) {
		return nil
	}
	left := e.each(func(r *activeRun) { e.goroutines.run(func() { e.abandon(r) }) })
	if left == 0 {
		return fmt.Errorf("shutdown: %w within %s", errNotSettled, linger)
	}
	return fmt.Errorf("shutdown: %d tasks did not return within %s after their contexts were cancelled: %w", left, linger, errAbandoned)
}

// errNotSettled: the functions have returned, and the database does not answer.
var errNotSettled = errors.New("some claims could be neither finished nor released, and expire with their leases")

var errAbandoned = errors.New("their claims expire with their leases")

// each calls f for each active run, and returns how many there are.
func (e *Executor) each(f func(*activeRun)) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.active {
		f(r)
	}
	return len(e.active)
}

// drained waits until nothing is reserved and no lost claim is to be undone, and
// reports whether that was so before ctx ended.
func (e *Executor) drained(ctx context.Context) bool {
	const interval = 5 * time.Millisecond
	for {
		e.mu.Lock()
		left := e.reserved + len(e.lostClaims)
		e.mu.Unlock()
		if left == 0 {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(interval):
		}
	}
}
