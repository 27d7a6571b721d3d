package queue

import "time"

// restoredErrors is the error history to store with an outcome that adds no
// record: nil, which leaves the row's as it is, unless a recorded timeout has to
// be removed from it.
func (r *activeRun) restoredErrors() []AttemptError {
	if !r.timeoutRecorded.Load() {
		return nil
	}
	return append([]AttemptError{}, r.errors...)
}

// freeSlot gives up the slot of a function that has returned. If its return is still
// waited for (expected), it returns the next task of the buffer, which has the slot
// now, if there is one.
func (e *Executor) freeSlot(r *activeRun) (next claimedTask, more, expected bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.abandoned {
		return next, false, false
	}
	r.returned = true
	r.crowd = e.settling >= crowd
	if r.late != nil {
		r.late.Stop()
	}
	e.settling++
	e.slotFreed(time.Since(r.began))
	next, more = e.takeNext()
	return next, more, true
}

// giveUp frees the slot of a function that ignores its context. It reports false for
// one that has returned.
func (e *Executor) giveUp(r *activeRun) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.returned || r.abandoned {
		return false
	}
	r.abandoned = true
	e.slotFreed(time.Since(r.began))
	e.startNext()
	return true
}

// slotFreed records that a function has ended after a time. e.mu is held.
func (e *Executor) slotFreed(after time.Duration) {
	e.running--
	e.prefetchPaused = false
	e.recordDuration(after)
}

// unreserveSlot gives up the slot and the reservation of a task that was not claimed
// after all.
func (e *Executor) unreserveSlot() {
	e.mu.Lock()
	e.running--
	e.startNext()
	e.mu.Unlock()
	e.unreserve(1)
}

// unreserve gives up n reservations: of tasks that have ended, or were not
// claimed after all.
func (e *Executor) unreserve(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.addReserved(-n)
	e.signalFreed()
}

// addReserved changes the number of reservations. e.mu is held.
func (e *Executor) addReserved(n int) {
	none := e.reserved == 0
	e.reserved += n
	if none != (e.reserved == 0) {
		e.goroutines.keepIdle(none)
	}
}

// signalFreed wakes whoever waits to reserve, if it is worth their while. e.mu is
// held.
func (e *Executor) signalFreed() {
	if e.reserved > e.wakeAt && e.idleSince.IsZero() {
		return
	}
	select {
	case e.freed <- struct{}{}:
	default:
	}
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

// unregister gives up the reservations of runs that have ended.
func (e *Executor) unregister(runs []*activeRun) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range runs {
		delete(e.active, r.claim)
		if r.returned {
			e.settling--
		}
	}
	e.addReserved(-len(runs))
	e.signalFreed()
}
