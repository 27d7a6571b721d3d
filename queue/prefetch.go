package queue

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
)

// A claim of many rows costs little more than one of a single row. So where many
// tasks run at once and their functions take next to no time, more are claimed
// than there are free slots: about as many as run within aheadTime. They wait in a
// buffer of this process, and begin as functions return. Should these suddenly
// take longer, claims that have waited for long are undone: another process can run
// those tasks, and this one does not claim them ahead again.
//
// A slot counts only while it turns over: one whose function has been running for
// longer than turnover will not be free in the next moment.
const (
	aheadTime = 10 * time.Millisecond
	turnover  = 5 * aheadTime
	aheadMost = 2  // times the slots; twice that is a quarter faster, and takes three megabytes more
	aheadFrom = 10 // slots: with fewer, the order of the tasks may be what is wanted

	// longestWait is how long a claimed task waits in the buffer at most; with a
	// short lease it is a quarter of that.
	longestWait = 250 * time.Millisecond

	// usualAtFirst is what functions are taken to need before that is known. Of
	// each function that returns, usualWeight counts for what is usual, but at
	// most usualLongest.
	usualAtFirst = 100 * time.Millisecond
	usualWeight  = 32
	usualLongest = 10 * time.Second
	unknownTime  = -1
)

// ahead is how many tasks may be claimed that have no slot. e.mu is held.
func (e *Executor) ahead() int {
	if e.cfg.Concurrency < aheadFrom || len(e.buffer) > 0 || e.usual == unknownTime || e.aheadSpent {
		return 0
	}
	turning := e.cfg.Concurrency
	for _, r := range e.running {
		if !r.returned && time.Since(r.began) > turnover {
			turning--
		}
	}
	return int(min(aheadMost*int64(turning), int64(turning)*int64(aheadTime)/int64(e.usual+1)))
}

// mostRoom is the most tasks that are ever claimed at once.
func (e *Executor) mostRoom() int { return (1 + aheadMost) * e.cfg.Concurrency }

// noteTime notes how long a function took. e.mu is held.
func (e *Executor) noteTime(took time.Duration) {
	if took < 0 {
		return
	}
	if e.usual == unknownTime {
		e.usual = usualAtFirst
	}
	e.usual += (min(took, usualLongest) - e.usual) / usualWeight
}

// waiting is a claimed task that waits for a slot.
type waiting struct {
	ctx   context.Context
	row   *Row
	since time.Time // the claim
	until time.Time // that it may wait
	done  func(*Run)
}

// begin runs claimed tasks as soon as there are slots, in the order of the rows.
func (e *Executor) begin(ctx context.Context, rows []*Row, since time.Time, done func(*Run)) {
	wait := min(longestWait, e.cfg.Lease/4)
	until := time.Now().Add(wait)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, row := range rows {
		e.buffer = append(e.buffer, waiting{ctx: ctx, row: row, since: since, until: until, done: done})
	}
	e.callNext()
	if e.closing {
		e.unclaimFirst(len(e.buffer))
	}
	if len(e.buffer) > 0 {
		time.AfterFunc(wait, e.unclaimLate)
	}
}

// callNext begins what is first in the buffer while there are slots. e.mu is held.
func (e *Executor) callNext() {
	for e.calling < e.cfg.Concurrency && len(e.buffer) > 0 {
		w := e.buffer[0]
		e.buffer = e.buffer[1:]
		e.calling++
		go func() {
			w.done(e.run(w.ctx, w.row, w.since))
			e.unreserve(1)
		}()
	}
	if len(e.buffer) == 0 {
		e.buffer = nil
	}
}

// unclaimLate gives back what has waited in the buffer for too long.
func (e *Executor) unclaimLate() {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for n < len(e.buffer) && !time.Now().Before(e.buffer[n].until) {
		n++
	}
	if n > 0 {
		e.usual = max(e.usual, usualAtFirst)
		e.unclaimFirst(n)
	}
}

// unclaimFirst gives back the first n tasks of the buffer, and wakes workers that
// could run them. e.mu is held.
func (e *Executor) unclaimFirst(n int) {
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
		e.noteBounced(w.row.ID)
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

// noteBounced notes that a task waited here in vain. The latest are remembered:
// all that two full buffers hold. e.mu is held.
func (e *Executor) noteBounced(id uuid.UUID) {
	if over := len(e.bounced) + 1 - 2*aheadMost*e.cfg.Concurrency; over > 0 {
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
type room struct {
	limit, ahead int
	notAhead     []uuid.UUID
}

// reserveSome makes room for a claim of up to most rows: for as many as there are
// free slots, and as may wait for one (see ahead). While runs are settling, which
// takes but a moment, it waits with ErrBusy for half of that to be free: one claim
// of many rows costs little more than one of a single row.
func (e *Executor) reserveSome(most int) (room, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return room{}, ErrShutdown
	}
	all, least := e.cfg.Concurrency+e.ahead(), 1
	if e.settling > 0 {
		least = max(1, min(most, all/2))
	}
	n := min(most, all-e.taken)
	if n < least {
		return room{}, ErrBusy
	}
	free := min(n, max(0, e.cfg.Concurrency-e.taken))
	e.taken += n
	return room{limit: n, ahead: n - free, notAhead: slices.Clone(e.bounced)}, nil
}

// filled notes how many tasks a claim has found for the room, and reports whether
// there may be more. One ahead of free slots that found less than it wanted may
// have ended before a task that must not wait: until a function returns, and so
// there is a slot for that task, none is claimed ahead.
func (e *Executor) filled(r room, found int) (more bool) {
	e.mu.Lock()
	if found < r.limit && r.ahead > 0 {
		e.aheadSpent = true
	}
	e.mu.Unlock()
	e.unreserve(r.limit - found)
	return found == r.limit || r.ahead > 0 && found >= r.limit-r.ahead
}
