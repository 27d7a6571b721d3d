package queue

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// idlePause is how long a worker that has nothing to do waits until it looks
// again: a tenth longer than the interval, less a random hundredth, so that many
// processes drift apart. At LocalPoll that is eleven looks a minute at most; with
// the sweeper's mark an idle process sends twelve statements.
func idlePause(interval time.Duration) time.Duration {
	return interval + interval/10 - rand.N(interval/100+1)
}

// TouchEvery is how often SweepEvery notes that it sweeps (TouchSwept), so that the
// mark may be older than the last sweep by this much. A single Sweep always does.
const TouchEvery = 2 * time.Minute

// promoteFreshness is for how long a background sweep relies on a look of this process.
const promoteFreshness = 2 * LocalPoll

// lastPromote is what the executors of this process have last seen of the whole
// database, so that the sweeper beside them need not ask for the same.
type lastPromote struct {
	mu      sync.Mutex
	at      time.Time // of the last Promote that succeeded
	empty   bool      // it found no row that is READY or RUNNING
	touched time.Time // when this process last noted that it sweeps
}

func (l *lastPromote) record(p PromoteResult) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = time.Now()
	l.empty = !p.Claimable && p.Next == 0
}

// fresh reports whether there was a look a moment ago, and whether it found
// nothing that is yet to end.
func (l *lastPromote) fresh() (fresh, nothing bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh = !l.at.IsZero() && time.Since(l.at) < promoteFreshness
	return fresh, fresh && l.empty
}

// touchDue reports whether it is time for another mark of the sweeper.
func (l *lastPromote) touchDue() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.touched.IsZero() || time.Since(l.touched) >= TouchEvery
}

func (l *lastPromote) recordTouch() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.touched = time.Now()
}

// Waker is a Store that can tell workers in other processes that there is
// something to claim, so that an idle one need not wait for its next look. It is
// a hint and no more: a signal may be lost, and workers go on looking.
type Waker interface {
	// Wake signals everybody who listens.
	Wake(ctx context.Context) error
	// Listen calls wake for each signal, or once for several, until ctx ends, or
	// returns why it cannot go on: errors.ErrUnsupported if it never can here.
	Listen(ctx context.Context, wake func()) error
}

// wakeInterval bounds how often a client signals: a signal costs about as much as a
// row, and every worker looks for each.
const wakeInterval = 50 * time.Millisecond

// bell signals for a client, at most every wakeInterval. What comes too early goes
// out at the end of that time.
type notifier struct {
	mu      sync.Mutex
	last    time.Time
	waiting bool // a signal will go out
}

// ring calls signal now, or in a moment, or leaves it to a call that is to come.
func (n *notifier) notify(signal func()) {
	n.mu.Lock()
	wait := wakeInterval - time.Since(n.last)
	switch {
	case n.waiting:
		n.mu.Unlock()
	case wait <= 0:
		n.last = time.Now()
		n.mu.Unlock()
		signal()
	default:
		n.waiting = true
		n.mu.Unlock()
		time.AfterFunc(wait, func() {
			n.mu.Lock()
			n.last, n.waiting = time.Now(), false
			n.mu.Unlock()
			signal()
		})
	}
}

// wakeWorkers tells those who pull that rows may be due.
func (c *Client) wakeWorkers(ctx context.Context, rows []*Row) {
	if slices.ContainsFunc(rows, func(row *Row) bool { return !row.RunAfter.After(row.EnqueuedAt) }) {
		c.wake(ctx)
	}
}

// wake signals the workers of all processes, where the store can.
func (c *Client) wake(ctx context.Context) {
	waker, ok := c.cfg.Store.(Waker)
	if !ok {
		return
	}
	ctx = context.WithoutCancel(ctx)
	c.notifier.notify(func() {
		ctx, cancel := context.WithTimeout(ctx, c.cfg.DispatchTimeout)
		defer cancel()
		if err := waker.Wake(ctx); err != nil {
			c.cfg.Logger.Debug("workers were not woken; they will look by themselves", "error", err)
		}
	})
}

// listen fills ch when the store's Waker signals, until ctx ends.
func (e *Executor) listen(ctx context.Context, ch chan<- struct{}, again time.Duration) {
	waker, ok := e.store.(Waker)
	if !ok {
		return
	}
	for ctx.Err() == nil {
		err := waker.Listen(ctx, func() {
			select {
			case ch <- struct{}{}:
			default:
			}
		})
		if ctx.Err() != nil || errors.Is(err, errors.ErrUnsupported) {
			return
		}
		e.log.Debug("wake-up signals are not heard now", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}
