package queue

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// activeRun is one call of a function.
type activeRun struct {
	executor        *Executor
	claim           Claim
	cancel          context.CancelCauseFunc
	abandon         chan struct{}  // closed when its return is no longer waited for
	completed       atomic.Bool    // CompleteTx has written its success, in a transaction that may or may not commit
	timeoutRecorded atomic.Bool    // the row's errors may contain its timeout already
	errors          []AttemptError // the row's, without that

	began    time.Time // executor.mu is held, also for returned
	returned bool
}

// restoredErrors is the error history to store with an outcome that adds no
// record: nil, which leaves the row's as it is, unless a recorded timeout has to
// be removed from it.
func (r *activeRun) restoredErrors() []AttemptError {
	if !r.timeoutRecorded.Load() {
		return nil
	}
	return append([]AttemptError{}, r.errors...)
}

// reserve takes a slot for a task that is yet to be claimed. With none free it
// returns ErrBusy, and after Shutdown ErrShutdown. freeSlot gives up the slot,
// and unreserve the reservation.
func (e *Executor) reserve() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return ErrShutdown
	}
	if e.reserved >= e.cfg.Concurrency {
		return ErrBusy
	}
	e.reserved++
	e.running++
	return nil
}

// freeSlot gives a slot to the next task in the buffer: that of a function that
// has returned after a time, or of a task that was not claimed after all.
func (e *Executor) freeSlot(r *activeRun, after time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r != nil {
		r.returned = true
	}
	e.running--
	e.prefetchPaused = false
	e.recordDuration(after)
	e.startNext()
}

// unreserve gives up n reservations: of tasks that have ended, or were not
// claimed after all.
func (e *Executor) unreserve(n int) {
	if n == 0 {
		return
	}
	e.mu.Lock()
	e.reserved -= n
	e.mu.Unlock()
	e.signalFreed()
}

func (e *Executor) signalFreed() {
	select {
	case e.freed <- struct{}{}:
	default:
	}
}

// settled wraps settle and counts it as in progress.
func (e *Executor) settled(ctx context.Context, r *activeRun, row *Row, res result, cause error) *Run {
	e.mu.Lock()
	e.settling++
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.settling--
		e.mu.Unlock()
		e.signalFreed()
	}()
	return e.settle(ctx, r, row, res, cause)
}

func (e *Executor) register(r *activeRun) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.active[r.claim] = r
	r.began = time.Now()
	e.forgetBounced(r.claim.ID)
	if e.interrupted { // its claim was under way when the others were cancelled
		r.cancel(ErrShutdown)
	}
}

func (e *Executor) unregister(r *activeRun) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.active, r.claim)
}

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
	left := e.each(func(r *activeRun) {
		select {
		case <-r.abandon:
		default:
			close(r.abandon)
		}
	})
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
