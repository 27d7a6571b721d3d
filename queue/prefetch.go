package queue

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
)

// A claim of many rows costs little more than one of a single row. So where many
// tasks run at once and their functions take next to no time, more are claimed
// than there are free slots: about as many as run within prefetchTime. They wait in a
// buffer of this process, and begin as functions return. Should these suddenly
// take longer, claims that have waited for long are undone: another process can run
// those tasks, and this one does not claim them ahead again.
//
// A slot counts only while it turns over: one whose function has been running for
// longer than turnover will not be free in the next moment.
const (
	prefetchTime     = 10 * time.Millisecond
	turnover         = 5 * prefetchTime
	prefetchFactor   = 2  // times the slots; twice that is a quarter faster, and takes three megabytes more
	prefetchMinSlots = 10 // slots: with fewer, the order of the tasks may be what is wanted

	// longestBufferWait is how long a claimed task waits in the buffer at most; with a
	// short lease it is a quarter of that.
	longestBufferWait = 250 * time.Millisecond

	// initialDuration is what functions are taken to need before that is known. Of
	// each function that returns, durationWeight counts for what is usual, but at
	// most longestDuration.
	initialDuration = 100 * time.Millisecond
	durationWeight  = 32
	longestDuration = 10 * time.Second
	unknownDuration = -1
)

// ahead is how many tasks may be claimed that have no slot. e.mu is held.
func (e *Executor) prefetchLimit() int {
	if e.cfg.Concurrency < prefetchMinSlots || len(e.buffer) > 0 || e.typicalDuration == unknownDuration || e.prefetchPaused {
		return 0
	}
	turning := e.cfg.Concurrency
	for _, r := range e.active {
		if !r.returned && time.Since(r.began) > turnover {
			turning--
		}
	}
	return int(min(prefetchFactor*int64(turning), int64(turning)*int64(prefetchTime)/int64(e.typicalDuration+1)))
}

// maxClaims is the most tasks that are ever claimed at once.
func (e *Executor) maxClaims() int { return (1 + prefetchFactor) * e.cfg.Concurrency }

// recordDuration notes how long a function took. e.mu is held.
func (e *Executor) recordDuration(took time.Duration) {
	if took < 0 {
		return
	}
	if e.typicalDuration == unknownDuration {
		e.typicalDuration = initialDuration
	}
	e.typicalDuration += (min(took, longestDuration) - e.typicalDuration) / durationWeight
}

// waiting is a claimed task that waits for a slot.
type bufferedTask struct {
	ctx   context.Context
	row   *Row
	since time.Time // the claim
	until time.Time // that it may wait
	done  func(*Run)
}

// begin runs claimed tasks as soon as there are slots, in the order of the rows.
func (e *Executor) start(ctx context.Context, rows []*Row, since time.Time, done func(*Run)) {
	wait := min(longestBufferWait, e.cfg.Lease/4)
	until := time.Now().Add(wait)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, row := range rows {
		e.buffer = append(e.buffer, bufferedTask{ctx: ctx, row: row, since: since, until: until, done: done})
	}
	e.startNext()
	if e.closing {
		e.unclaimBuffered(len(e.buffer))
	}
	if len(e.buffer) > 0 {
		time.AfterFunc(wait, e.unclaimOverdue)
	}
}

// startNext begins what is first in the buffer while there are slots. e.mu is held.
func (e *Executor) startNext() {
	for e.running < e.cfg.Concurrency && len(e.buffer) > 0 {
		w := e.buffer[0]
		e.buffer = e.buffer[1:]
		e.running++
		go func() {
			w.done(e.run(w.ctx, w.row, w.since))
			e.unreserve(1)
		}()
	}
	if len(e.buffer) == 0 {
		e.buffer = nil
	}
}

// unclaimOverdue gives back what has waited in the buffer for too long.
func (e *Executor) unclaimOverdue() {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for n < len(e.buffer) && !time.Now().Before(e.buffer[n].until) {
		n++
	}
	if n > 0 {
		e.typicalDuration = max(e.typicalDuration, initialDuration)
		e.unclaimBuffered(n)
	}
}

// unclaimBuffered gives back the first n tasks of the buffer, and wakes workers that
// could run them. e.mu is held.
func (e *Executor) unclaimBuffered(n int) {
	if n == 0 {
		return
	}
	returned := slices.Clone(e.buffer[:n])
	if e.buffer = e.buffer[n:]; len(e.buffer) == 0 {
		e.buffer = nil
	}
	claims := make([]Claim, n)
	for i, w := range returned {
		claims[i] = w.row.Claim()
		e.recordBounced(w.row.ID)
	}
	go func() {
		ctx := returned[0].ctx
		err := e.persist(ctx, func(ctx context.Context) error { return e.store.Unclaim(ctx, claims...) })
		if err != nil {
			e.log.ErrorContext(ctx, "claimed tasks that waited for a slot could not be given back; their claims expire with their leases",
				"tasks", n, "error", err)
		} else {
			e.client.wake(ctx)
		}
		for _, w := range returned {
			w.done(nil)
		}
		e.unreserve(n)
	}()
}

// recordBounced notes that a task waited here in vain. The latest are remembered:
// all that two full buffers hold. e.mu is held.
func (e *Executor) recordBounced(id uuid.UUID) {
	if over := len(e.bounced) + 1 - 2*prefetchFactor*e.cfg.Concurrency; over > 0 {
		e.bounced = slices.Delete(e.bounced, 0, over)
	}
	e.bounced = append(e.bounced, id)
}

// forgetBounced notes that a task begins here after all. e.mu is held.
func (e *Executor) forgetBounced(id uuid.UUID) {
	if i := slices.Index(e.bounced, id); i >= 0 {
		e.bounced = slices.Delete(e.bounced, i, i+1)
	}
}

// room is what a claim may take.
type reservation struct {
	limit, ahead int
	notAhead     []uuid.UUID
}

// reserveBatch makes room for a claim of up to most rows: for as many as there are
// free slots, and as may wait for one (see ahead). While runs are settling, which
// takes but a moment, it waits with ErrBusy for half of that to be free: one claim
// of many rows costs little more than one of a single row.
func (e *Executor) reserveBatch(most int) (reservation, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return reservation{}, ErrShutdown
	}
	all, least := e.cfg.Concurrency+e.prefetchLimit(), 1
	if e.settling > 0 {
		least = max(1, min(most, all/2))
	}
	n := min(most, all-e.reserved)
	if n < least {
		return reservation{}, ErrBusy
	}
	free := min(n, max(0, e.cfg.Concurrency-e.reserved))
	e.reserved += n
	return reservation{limit: n, ahead: n - free, notAhead: slices.Clone(e.bounced)}, nil
}

// filled notes how many tasks a claim has found for the room, and reports whether
// there may be more. One ahead of free slots that found less than it wanted may
// have ended before a task that must not wait: until a function returns, and so
// there is a slot for that task, none is claimed ahead.
func (e *Executor) releaseUnused(r reservation, found int) (more bool) {
	e.mu.Lock()
	if found < r.limit && r.ahead > 0 {
		e.prefetchPaused = true
	}
	e.mu.Unlock()
	e.unreserve(r.limit - found)
	return found == r.limit || r.ahead > 0 && found >= r.limit-r.ahead
}
