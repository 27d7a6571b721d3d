package queue

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

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

// wakeEvery bounds how often a client signals: a signal costs about as much as a
// row, and every worker looks for each.
const wakeEvery = 50 * time.Millisecond

// bell signals for a client, at most every wakeEvery. What comes too early goes
// out at the end of that time.
type bell struct {
	mu      sync.Mutex
	last    time.Time
	waiting bool // a signal will go out
}

// ring calls signal now, or in a moment, or leaves it to a call that is to come.
func (b *bell) ring(signal func()) {
	b.mu.Lock()
	wait := wakeEvery - time.Since(b.last)
	switch {
	case b.waiting:
		b.mu.Unlock()
	case wait <= 0:
		b.last = time.Now()
		b.mu.Unlock()
		signal()
	default:
		b.waiting = true
		b.mu.Unlock()
		time.AfterFunc(wait, func() {
			b.mu.Lock()
			b.last, b.waiting = time.Now(), false
			b.mu.Unlock()
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
	c.bell.ring(func() {
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
