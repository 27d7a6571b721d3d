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
	timeoutRecorded atomic.Bool    // its timeout may stand in the row's errors already
	errors          []AttemptError // the row's, without that

	began    time.Time // executor.mu is held, also for returned
	returned bool
}

// kept is the error history to store with an end that adds none to it: nil, which
// leaves the row's as it is, unless it has to go back to what it was.
func (r *activeRun) restoredErrors() []AttemptError {
	if !r.timeoutRecorded.Load() {
		return nil
	}
	return append([]AttemptError{}, r.errors...)
}

// reserve takes a slot for a task that is yet to be claimed. With none free it
// returns ErrBusy, and after Shutdown ErrShutdown. The slot is given up by
// returned, and what it counts for by unreserve.
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

// returned gives up a slot to the next task that waits for one: that of a function
// that has returned after a time, or of one that was not claimed after all.
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

// unreserve takes n tasks from those that count, whether they have ended or were
// not claimed after all.
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

// settled is settle, seen by reserveBatch.
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
	if e.interrupted { // its claim was under way when the others were told
		r.cancel(ErrShutdown)
	}
}

func (e *Executor) unregister(r *activeRun) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.active, r.claim)
}

// Shutdown stops claiming and waits for what is running. When ctx ends, the
// contexts of the functions still running are cancelled with ErrShutdown, and
// those that return within linger have their attempts given back; the claims of
// the others are left to run out, and Shutdown says how many those are. It may
// be called again with a ctx that has ended, to hurry an earlier call.
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
		return fmt.Errorf("within %s, %w", linger, errNotSettled)
	}
	return fmt.Errorf("%d tasks did not return within %s of being told to stop: %w", left, linger, errAbandoned)
}

// errNotSettled: the functions have returned, and the database does not answer.
var errNotSettled = errors.New("some claims could neither be ended nor given back: they expire with their leases")

var errAbandoned = errors.New("their claims run out by themselves")

// each calls f for each running task, and returns how many there are.
func (e *Executor) each(f func(*activeRun)) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.active {
		f(r)
	}
	return len(e.active)
}

// drained waits until no slot is taken and no lost claim is looked for, and reports
// whether that was so before ctx ended.
func (e *Executor) drained(ctx context.Context) bool {
	const look = 5 * time.Millisecond
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
		case <-time.After(look):
		}
	}
}
