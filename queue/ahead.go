package queue

import (
	"context"
	"errors"
	"time"
)

// A claim of many rows costs little more than one of a single row. So where many
// tasks run at once and their functions take next to no time, more are claimed
// than there are slots: about as many as run within aheadTime. They wait in line,
// in this process, and begin as functions return. Should these take longer all of
// a sudden, those who have waited for long are given back, so that somebody else
// can run them, and no more are claimed ahead until things are brief again.
const (
	aheadTime = 10 * time.Millisecond
	aheadMost = 2  // times the slots; twice that is a quarter faster, and takes three megabytes more
	aheadFrom = 10 // slots: with fewer, the order of the tasks may be what is wanted

	// longestWait is how long a claimed task waits in line at most; with a short
	// lease it is a quarter of that.
	longestWait = time.Second

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
	slots := e.cfg.Concurrency
	if slots < aheadFrom || len(e.line) > 0 {
		return 0
	}
	return int(min(aheadMost*int64(slots), int64(slots)*int64(aheadTime)/int64(e.usual+1)))
}

// mostRoom is the most tasks that are ever claimed at once.
func (e *Executor) mostRoom() int { return (1 + aheadMost) * e.cfg.Concurrency }

// noteTime notes how long a function took. e.mu is held.
func (e *Executor) noteTime(took time.Duration) {
	if took >= 0 {
		e.usual += (min(took, usualLongest) - e.usual) / usualWeight
	}
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
		e.line = append(e.line, waiting{ctx: ctx, row: row, since: since, until: until, done: done})
	}
	e.callNext()
	if e.closing {
		e.handBackAll()
	}
	if len(e.line) > 0 {
		time.AfterFunc(wait, e.handBackLate)
	}
}

// callNext begins the first in line while there are slots. e.mu is held.
func (e *Executor) callNext() {
	for e.calling < e.cfg.Concurrency && len(e.line) > 0 {
		w := e.line[0]
		e.line = e.line[1:]
		e.calling++
		go func() {
			w.done(e.run(w.ctx, w.row, w.since))
			e.unreserve(1)
		}()
	}
	if len(e.line) == 0 {
		e.line = nil
	}
}

// handBackLate gives back those in line who have waited too long.
func (e *Executor) handBackLate() {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for n < len(e.line) && !time.Now().Before(e.line[n].until) {
		n++
	}
	if n > 0 {
		e.usual = max(e.usual, usualAtFirst)
		e.handBack(n)
	}
}

// handBackAll gives back all in line. e.mu is held.
func (e *Executor) handBackAll() { e.handBack(len(e.line)) }

// handBack gives back the first n in line. e.mu is held.
func (e *Executor) handBack(n int) {
	for _, w := range e.line[:n] {
		go func() {
			err := e.persist(w.ctx, func(ctx context.Context) error { return e.store.Release(ctx, w.row.Claim()) })
			if err != nil && !errors.Is(err, ErrLeaseLost) {
				e.log.ErrorContext(w.ctx, "a claimed task that waited for a slot could not be given back; its claim is left to run out",
					"task_id", w.row.ID, "task_path", w.row.Task, "error", err)
			}
			w.done(nil)
			e.unreserve(1)
		}()
	}
	if e.line = e.line[n:]; len(e.line) == 0 {
		e.line = nil
	}
}
