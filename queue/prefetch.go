package queue

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
)

// A claim of many rows costs little more than one of a single row, and while it is
// under way there must be something to run. So where many tasks run at once and
// their functions take next to no time, more tasks are claimed than there are free
// slots: about as many as run within prefetchTime, with up to MaxClaimBytes of
// arguments. They wait in a buffer of this process and start as functions return.
// If these suddenly take longer, claims that have waited too long are released:
// another process can run those tasks, and this one does not claim them ahead again.
//
// A slot counts only while it turns over: one whose function has run for longer
// than turnoverTime is not expected to become free in a moment.
const (
	prefetchTime     = 40 * time.Millisecond
	turnoverTime     = 50 * time.Millisecond
	prefetchFactor   = 8  // times the slots
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

// turning is how many slots are free or turn over. e.mu is held.
func (e *Executor) turning(now time.Time) int {
	turning := e.cfg.Concurrency
	for _, r := range e.active {
		if !r.returned && !r.abandoned && now.Sub(r.began) > turnoverTime {
			turning--
		}
	}
	return turning
}

// prefetchLimit is how many tasks may be claimed beyond the slots, of which so many
// turn over. e.mu is held.
func (e *Executor) prefetchLimit(turning int) int {
	if e.cfg.Concurrency < prefetchMinSlots || e.typicalDuration == unknownDuration || e.prefetchPaused || e.buffered >= MaxClaimBytes {
		return 0
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

// claimedTask is a claimed task that has not begun.
type claimedTask struct {
	ctx       context.Context
	row       *Row
	claimedAt time.Time
	pulled    bool       // nobody waits for this run alone
	deadline  time.Time  // when it is released if it has no slot by then
	done      func(*Run) // is called when its run has ended, or with nil when it is released
}

// start runs claimed tasks as soon as there are slots, in the order of the rows.
func (e *Executor) start(ctx context.Context, rows []*Row, claimedAt time.Time, done func(*Run)) {
	wait := min(longestBufferWait, e.cfg.Lease/4)
	deadline := time.Now().Add(wait)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, row := range rows {
		e.buffer = append(e.buffer, claimedTask{ctx: ctx, row: row, claimedAt: claimedAt, pulled: true, deadline: deadline, done: done})
		e.buffered += len(row.Args)
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
	for {
		t, ok := e.takeNext()
		if !ok {
			return
		}
		e.goroutines.run(func() { e.runTasks(t) })
	}
}

// takeNext takes the first task of the buffer, if there is a slot for it. e.mu is held.
func (e *Executor) takeNext() (t claimedTask, ok bool) {
	if e.running < e.cfg.Concurrency && len(e.buffer) > 0 {
		t, ok = e.buffer[0], true
		e.unbuffer(1)
		e.running++
	}
	switch idle := e.running < e.cfg.Concurrency; {
	case !idle:
		e.idleSince = time.Time{}
	case e.idleSince.IsZero() && len(e.buffer) == 0:
		e.idleSince = time.Now()
		e.signalFreed()
	}
	return t, ok
}

// unbuffer removes the first n tasks of the buffer. e.mu is held.
func (e *Executor) unbuffer(n int) {
	for i, t := range e.buffer[:n] {
		e.buffered -= len(t.row.Args)
		e.buffer[i] = claimedTask{}
	}
	if e.buffer = e.buffer[n:]; len(e.buffer) == 0 {
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
	e.unbuffer(n)
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
