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
}

// set records how long it is until a schedule is due; 0: there is none.
func (t *ticker) set(in time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
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

// add registers a function that is called after a tick that has enqueued something.
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
	store, err := c.scheduler()
	if err != nil { // there are no schedules
		return func() {}
	}
	remove := c.ticker.add(wake)
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

// How long after a tick that has left something due the next one is: because another
// tick had locked it, or because it failed.
const (
	lockedTickPause = 100 * time.Millisecond
	failedTickPause = time.Second
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
	next := t.next
	until := func(pause time.Duration) {
		if next == 0 || next > pause {
			next = pause
		}
	}
	switch {
	case err != nil, t.broken:
		until(failedTickPause)
	case t.locked:
		until(lockedTickPause)
	}
	c.ticker.set(next)
}
