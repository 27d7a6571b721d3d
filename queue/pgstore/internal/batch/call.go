package batch

import (
	"context"
	"sync/atomic"
)

// call is one request that waits for a batched statement.
type call[Q, A any] struct {
	request Q
	wake    chan struct{}  // receives a value when the caller of Do is answered
	done    func(A, error) // gets the answer of a call without such a caller
	state   atomic.Int32
	reply[A]
}

// reply is what became of a call.
type reply[A any] struct {
	Result[A]
	err     error
	unknown bool // whether it was served: the batch failed
}

// How a call ended; the zero value means that it has not.
const (
	isAnswered = 1 + iota
	hasLeft
)

// end ends the call, and reports false if it had ended in the other way before.
func (c *call[Q, A]) end(state int32) bool { return c.state.CompareAndSwap(0, state) }

func (c *call[Q, A]) gone() bool { return c.state.Load() == hasLeft }

// call returns a call that has not been answered.
func (b *Batcher[Q, A]) call(request Q) *call[Q, A] {
	c := b.calls.Get().(*call[Q, A])
	c.request = request
	return c
}

// free makes a call available that nothing refers to any more.
func (b *Batcher[Q, A]) free(c *call[Q, A]) {
	var none Q
	c.request, c.done, c.reply = none, nil, reply[A]{}
	c.state.Store(0)
	b.calls.Put(c)
}

// deliver passes the reply to an answered call on.
func (b *Batcher[Q, A]) deliver(c *call[Q, A]) {
	if c.done == nil {
		c.wake <- struct{}{}
		return
	}
	request, done, result := c.request, c.done, c.reply
	b.free(c)
	if result.err != nil || result.Served {
		done(result.Answer, result.err)
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), b.limits.Timeout)
		defer cancel()
		done(b.alone(ctx, request, result.unknown))
	}()
}
