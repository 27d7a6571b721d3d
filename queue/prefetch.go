package queue

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
)

// A claim of many rows costs little more than one of a single row. So where many
// tasks run at once and their functions take next to no time, more tasks are
// claimed than there are free slots: about as many as run within prefetchTime.
// They wait in a buffer of this process and start as functions return. If these
// suddenly take longer, claims that have waited too long are released: another
// process can run those tasks, and this one does not claim them ahead again.
//
// A slot counts only while it turns over: one whose function has run for longer
// than turnoverTime is not expected to become free in a moment.
const (
	prefetchTime     = 10 * time.Millisecond
	turnoverTime     = 5 * prefetchTime
	prefetchFactor   = 2  // times the slots; twice that is a quarter faster and takes three megabytes more
	prefetchMinSlots = 10 // with fewer slots, the order of the tasks may matter more

	// longestBufferWait is how long a claimed task waits in the buffer at most;
	// with a short lease it is a quarter of that.
	longestBufferWait = 250 * time.Millisecond

	// typicalDuration starts at initialDuration and is a moving average: each
	// function that returns has the weight 1/durationWeight, and counts as
	// longestDuration at most.
	initialDuration = 100 * time.Millisecond
	durationWeight  = 32
	longestDuration = 10 * time.Second
	unknownDuration = -1
)

// prefetchLimit is how many tasks may be claimed beyond the slots. e.mu is held.
func (e *Executor) prefetchLimit() int {
	if e.cfg.Concurrency < prefetchMinSlots || len(e.buffer) > 0 || e.typicalDuration == unknownDuration || e.prefetchPaused {
		return 0
	}
	turning := e.cfg.Concurrency
	for _, r := range e.active {
		if !r.returned && time.Since(r.began) > turnoverTime {
			turning--
		}
	}
	return int(min(prefetchFactor*int64(turning), int64(turning)*int64(prefetchTime)/int64(e.typicalDuration+1)))
}

// maxClaims is the most tasks that are ever claimed at once.
func (e *Executor) maxClaims() int { return (1 + prefetchFactor) * e.cfg.Concurrency }

// recordDuration adds how long a function took to the average. e.mu is held.
func (e *Executor) recordDuration(took time.Duration) {
	if took < 0 {
		return
	}
	if e.typicalDuration == unknownDuration {
		e.typicalDuration = initialDuration
	}
	e.typicalDuration += (min(took, longestDuration) - e.typicalDuration) / durationWeight
}

// bufferedTask is a claimed task that waits for a slot.
type bufferedTask struct {
	ctx       context.Context
	row       *Row
	claimedAt time.Time
	deadline  time.Time // when it is released
	done      func(*Run)
}

// start runs claimed tasks as soon as there are slots, in the order of the rows.
func (e *Executor) start(ctx context.Context, rows []*Row, claimedAt time.Time, done func(*Run)) {
	wait := min(longestBufferWait, e.cfg.Lease/4)
	deadline := time.Now().Add(wait)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, row := range rows {
		e.buffer = append(e.buffer, bufferedTask{ctx: ctx, row: row, claimedAt: claimedAt, deadline: deadline, done: done})
	}
	e.startNext()
	if e.closing {
		e.unclaimBuffered(len(e.buffer))
	}
	if len(e.buffer) > 0 {
		time.AfterFunc(wait, e.unclaimOverdue)
	}
}

// startNext starts the first tasks of the buffer while there are slots. e.mu is held.
func (e *Executor) startNext() {
	for e.running < e.cfg.Concurrency && len(e.buffer) > 0 {
		b := e.buffer[0]
		e.buffer = e.buffer[1:]
		e.running++
		go func() {
			b.done(e.run(b.ctx, b.row, b.claimedAt))
			e.unreserve(1)
		}()
	}
	if len(e.buffer) == 0 {
		e.buffer = nil
	}
}

// unclaimOverdue releases the tasks that have waited in the buffer for too long.
func (e *Executor) unclaimOverdue() {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for n < len(e.buffer) && !time.Now().Before(e.buffer[n].deadline) {
		n++
	}
	if n > 0 {
		e.typicalDuration = max(e.typicalDuration, initialDuration)
		e.unclaimBuffered(n)
	}
}

// unclaimBuffered releases the first n tasks of the buffer, and wakes workers that
// could run them. e.mu is held.
func (e *Executor) unclaimBuffered(n int) {
	if n == 0 {
		return
	}
	released := slices.Clone(e.buffer[:n])
	if e.buffer = e.buffer[n:]; len(e.buffer) == 0 {
		e.buffer = nil
	}
	claims := make([]Claim, n)
	for i, b := range released {
		claims[i] = b.row.Claim()
		e.recordBounced(b.row.ID)
	}
	go func() {
		ctx := released[0].ctx
		err := e.persist(ctx, func(ctx context.Context) error { return e.store.Unclaim(ctx, claims...) })
		if err != nil {
			e.log.ErrorContext(ctx, "claimed tasks that waited for a slot could not be released; their claims expire with their leases",
				"tasks", n, "error", err)
		} else {
			e.client.wake(ctx)
		}
		for _, b := range released {
			b.done(nil)
		}
		e.unreserve(n)
	}()
}

// recordBounced records that a task was released from the buffer. The latest ones
// are remembered: as many as two full buffers hold. e.mu is held.
func (e *Executor) recordBounced(id uuid.UUID) {
	if over := len(e.bounced) + 1 - 2*prefetchFactor*e.cfg.Concurrency; over > 0 {
		e.bounced = slices.Delete(e.bounced, 0, over)
	}
	e.bounced = append(e.bounced, id)
}

// forgetBounced records that a bounced task runs here after all. e.mu is held.
func (e *Executor) forgetBounced(id uuid.UUID) {
	if i := slices.Index(e.bounced, id); i >= 0 {
		e.bounced = slices.Delete(e.bounced, i, i+1)
	}
}

// reservation is what a claim of many rows may claim.
type reservation struct {
	limit, prefetch int // prefetch of limit are for tasks that wait in the buffer
	notPrefetch     []uuid.UUID
}

// reserveBatch reserves a claim of up to limit rows: the free slots, and what may
// be prefetched. While outcomes are being stored, which takes only a moment, it
// returns ErrBusy until half of that is free: one claim of many rows costs little
// more than one of a single row.
func (e *Executor) reserveBatch(limit int) (reservation, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return reservation{}, ErrShutdown
	}
	all, least := e.cfg.Concurrency+e.prefetchLimit(), 1
	if e.settling > 0 {
		least = max(1, min(limit, all/2))
	}
	n := min(limit, all-e.reserved)
	if n < least {
		return reservation{}, ErrBusy
	}
	free := min(n, max(0, e.cfg.Concurrency-e.reserved))
	e.reserved += n
	return reservation{limit: n, prefetch: n - free, notPrefetch: slices.Clone(e.bounced)}, nil
}

// releaseUnused gives up what a claim that found so many tasks did not use of its
// reservation, and reports whether there may be more tasks. A claim with prefetch
// that found less than its limit may have ended before a task that must not wait:
// nothing is prefetched until a function returns, which frees a slot for that task.
func (e *Executor) releaseUnused(r reservation, found int) (more bool) {
	e.mu.Lock()
	if found < r.limit && r.prefetch > 0 {
		e.prefetchPaused = true
	}
	e.mu.Unlock()
	e.unreserve(r.limit - found)
	return found == r.limit || r.prefetch > 0 && found >= r.limit-r.prefetch
}
