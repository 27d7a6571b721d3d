package queue

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// idlePause is how long an idle worker waits until it polls again: a tenth longer
// than the interval, less a random hundredth, so that many processes drift apart.
// At LocalPoll that is at most eleven polls a minute; with the sweeper's Touch an
// idle process sends twelve statements.
func idlePause(interval time.Duration) time.Duration {
	return interval + interval/10 - rand.N(interval/100+1)
}

// TouchEvery is how often [Client.SweepEvery] records that it sweeps ([TouchSwept]):
// the record may be older than the latest sweep by this much. A single
// [Client.Sweep] always records it.
const TouchEvery = 2 * time.Minute

// promoteFreshness is how long a background sweep relies on a promotion by an
// executor of this process.
const promoteFreshness = 2 * LocalPoll

// lastPromote is the result of the latest promotion by an executor of this process,
// so that the sweeper beside it need not repeat it.
type lastPromote struct {
	mu        sync.Mutex
	at        time.Time // of the last Promote that succeeded
	empty     bool      // it found no row that is READY or RUNNING, and none to delete
	deletable bool      // it found rows to delete
	limits    bool      // limits were set
	groups    bool      // there were groups that have not succeeded
	touched   time.Time // when this process last recorded that it sweeps
}

func (l *lastPromote) record(p PromoteResult) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = time.Now()
	l.empty = !p.Claimable && p.Next == 0 && !p.Gates && !p.Deletable && !p.Limits
	l.deletable, l.limits, l.groups = p.Deletable, p.Limits, p.Groups
}

// fresh reports whether there was a promotion a moment ago, whether it found no READY
// or RUNNING row and none to delete, and whether it found some to delete.
func (l *lastPromote) fresh() (fresh, nothing, deletable bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh = !l.at.IsZero() && time.Since(l.at) < promoteFreshness
	return fresh, fresh && l.empty, fresh && l.deletable
}

// hasLimits reports whether the latest promotion found limits.
func (l *lastPromote) hasLimits() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limits
}

// hasGroups reports whether the latest promotion found groups that have not succeeded.
func (l *lastPromote) hasGroups() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.groups
}

// touchDue reports whether it is time to record another sweep.
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

// Waker is a [Store] that can signal workers in other processes that there is
// something to claim, so that an idle one need not wait for its next poll. A signal
// is only a hint: it may be lost, and workers keep polling. The methods are safe
// for concurrent use.
type Waker interface {
	// Wake signals all listeners.
	Wake(ctx context.Context) error
	// Listen calls wake for each signal, or once for several, until ctx ends or it
	// fails: with errors.ErrUnsupported if it can never work here.
	Listen(ctx context.Context, wake func()) error
}

// wakeInterval is the shortest time between two signals of a client: a signal costs
// about as much as a row, and every worker polls after each.
const wakeInterval = 50 * time.Millisecond

// notifier signals for a client, at most every wakeInterval. A signal that is too
// early is sent at the end of that time.
type notifier struct {
	mu      sync.Mutex
	last    time.Time
	waiting bool // a signal is scheduled
}

// notify calls signal now, or schedules it, unless it is scheduled already.
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

// wakeWorkers signals workers that pull if any of the rows is due.
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
			c.cfg.Logger.Debug("workers were not woken; they poll", "error", err)
		}
	})
}

// listen puts a value into ch when the store's Waker signals, until ctx ends.
func (e *Executor) listen(ctx context.Context, ch chan<- struct{}, retryAfter time.Duration) {
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
		e.log.Debug("wake-up signals cannot be received now", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
}
