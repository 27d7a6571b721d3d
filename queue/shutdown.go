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
//
// It also waits until claims whose answers were lost are released. Once no task is running,
// that takes at most 20 s, or a lease if that is shorter, and linger, whatever ctx allows;
// then the error says that some expire with their leases.
func (e *Executor) Shutdown(ctx context.Context, linger time.Duration) error {
	e.mu.Lock()
	if !e.closing {
		e.closing = true
		close(e.stopping)
		e.unclaimBuffered(len(e.buffer))
	}
	e.mu.Unlock()
	if e.drained(ctx, min(settleBudget, e.cfg.Lease)) {
		return e.settled()
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
	if e.drained(lingering, linger) {
		return e.settled()
	}
	e.cancelUndoing()
	left := e.each(func(r *activeRun) { e.goroutines.run(func() { e.abandon(r) }) })
	if left == 0 {
		return fmt.Errorf("shutdown: %w", errNotSettled)
	}
	return fmt.Errorf("shutdown: %d tasks did not return within %s after their contexts were cancelled: %w", left, linger, errAbandoned)
}

// cancelUndoing cancels the statement that undoes lost claims, and waits a moment until it has
// ended: else the server would go on with it after the process has gone.
func (e *Executor) cancelUndoing() {
	e.stopUndoing()
	for range 200 {
		e.mu.Lock()
		lost := len(e.lostClaims)
		e.mu.Unlock()
		if lost == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
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

// settled returns the error of lost claims that could not be undone.
func (e *Executor) settled() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.unsettled {
		return fmt.Errorf("shutdown: %w", errNotSettled)
	}
	return nil
}

// drained waits until nothing is reserved and no lost claim is to be undone, and
// reports whether that was so before ctx ended, and before only lost claims were left for
// longer than patience.
func (e *Executor) drained(ctx context.Context, patience time.Duration) bool {
	const interval = 5 * time.Millisecond
	var idle time.Time // since when nothing is reserved
	for {
		e.mu.Lock()
		reserved, lost := e.reserved, len(e.lostClaims)
		e.mu.Unlock()
		switch {
		case reserved+lost == 0:
			return true
		case reserved > 0:
			idle = time.Time{}
		case idle.IsZero():
			idle = time.Now()
		case time.Since(idle) >= patience:
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(interval):
		}
	}
}
