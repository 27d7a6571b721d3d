package queue

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ticker ticks beside the executors of a process that pull, at the times that their
// promotions and its own ticks have found: it sends no statement before.
type ticker struct {
	mu    sync.Mutex
	at    time.Time      // when to tick next; zero: no schedule is known
	known chan struct{}  // is closed when at has changed
	wakes map[int]func() // wake those who pull, by a number of their own
	last  int            // such number

	logged      map[string]loggedError // the last error of each schedule
	lockedPause time.Duration          // after the last tick, if it has met a locked schedule
	failedPause time.Duration          // likewise, one that failed
}

type loggedError struct {
	text string
	at   time.Time
}

// isNews reports whether the error of a schedule is to be logged: a ticker meets it again
// and again.
func (t *ticker) isNews(name string, err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, text := t.logged[name], err.Error()
	if before.text == text && time.Since(before.at) < time.Minute {
		return false
	}
	if t.logged == nil {
		t.logged = make(map[string]loggedError)
	}
	t.logged[name] = loggedError{text, time.Now()}
	return true
}

// pause returns how long after a tick that has left something due the next one is: twice
// as long each time. 0: nothing is left.
func (t *ticker) pause(locked, failed bool) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lockedPause = doubled(locked, t.lockedPause, lockedTickPause, longestLockedPause)
	t.failedPause = doubled(failed, t.failedPause, failedTickPause, longestFailedPause)
	if t.lockedPause > 0 && t.failedPause > 0 {
		return min(t.lockedPause, t.failedPause)
	}
	return t.lockedPause + t.failedPause
}

func doubled(again bool, last, first, longest time.Duration) time.Duration {
	if !again {
		return 0
	}
	return min(max(2*last, first), longest)
}

// promoted records how long it is until a schedule is due, as a promotion has found it.
// While a pause lasts, one that is due already is that of the last tick.
func (t *ticker) promoted(in time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if pausing := t.lockedPause+t.failedPause > 0 && !t.at.IsZero(); pausing && in > 0 && in <= time.Millisecond {
		return
	}
	t.setLocked(in)
}

// set records how long it is until a schedule is due; 0: there is none.
func (t *ticker) set(in time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.setLocked(in)
}

func (t *ticker) setLocked(in time.Duration) {
	at := time.Time{}
	if in > 0 {
		at = time.Now().Add(in)
	}
	if at.IsZero() && t.at.IsZero() {
		return
	}
	t.at = at
	if t.known != nil {
		close(t.known)
		t.known = nil
	}
}

// soon makes those who pull in this process tick now, because it has changed a schedule:
// their promotions would notice it only seconds later.
func (t *ticker) soon() { t.set(1) }

// take reports whether it is time to tick, and then does so to no other caller until it
// is set again. Otherwise it returns how long that is, 0 for an unknown time, and a
// channel that is closed when the time changes.
func (t *ticker) take() (due bool, wait time.Duration, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.at.IsZero() {
		if wait = time.Until(t.at); wait <= 0 {
			t.at = time.Time{}
			return true, 0, nil
		}
	}
	if t.known == nil {
		t.known = make(chan struct{})
	}
	return false, wait, t.known
}

// add registers a function that is called after a tick that has enqueued something, and
// after the end of a group that was locked.
func (t *ticker) add(wake func()) (remove func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wakes == nil {
		t.wakes = make(map[int]func())
	}
	t.last++
	number := t.last
	t.wakes[number] = wake
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.wakes, number)
	}
}

// wake calls the functions that are registered. They do not block.
func (t *ticker) wake() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, wake := range t.wakes {
		wake()
	}
}

// tickBeside ticks at the times of schedules until ctx ends or the function that it
// returns is called, which waits for its end. wake is called when something was
// enqueued; it must not block. Several callers share one tick at a time.
func (c *Client) tickBeside(ctx context.Context, wake func()) (stop func()) {
	remove := c.ticker.add(wake)
	store, err := c.scheduler()
	if err != nil { // there are no schedules
		return remove
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if !c.scheduleSync.isDone() {
			c.tickOnce(ctx, store)
		}
		c.tickAlong(ctx, store)
	}()
	return func() {
		cancel()
		<-done
		remove()
	}
}

func (c *Client) tickAlong(ctx context.Context, store Scheduler) {
	for ctx.Err() == nil {
		due, wait, changed := c.ticker.take()
		if due {
			c.tickOnce(ctx, store)
			continue
		}
		var timer <-chan time.Time
		if wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer:
		}
	}
}

// How long after a tick that has left something due the next one is, at first and at
// most: because another tick had locked it, whose process may have been stopped, or
// because it failed. Other schedules are ticked at their times.
const (
	lockedTickPause    = 100 * time.Millisecond
	longestLockedPause = 5 * time.Second
	failedTickPause    = time.Second
	longestFailedPause = 15 * time.Second
)

// tickOnce is one tick of a ticker.
func (c *Client) tickOnce(ctx context.Context, store Scheduler) {
	t := &tick{client: c, store: store}
	err := t.run(ctx)
	if err != nil && !errors.Is(err, ErrUnavailable) { // availability logs that
		c.cfg.Logger.Error("tick failed", "error", err)
	}
	if t.enqueued > 0 {
		c.ticker.wake()
	}
	pause := c.ticker.pause(t.locked, t.failed > 0)
	if err != nil {
		pause = failedTickPause
	}
	next := t.next
	if pause > 0 && (next == 0 || next > pause) {
		next = pause
	}
	c.ticker.set(next)
}
