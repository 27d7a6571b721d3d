// Package batch answers concurrent single requests with few statements, and so
// with few commits. A [Batcher] knows neither the database nor the requests: it
// gets the statements, the limits and the classification of errors from its
// caller, package pgstore.
package batch

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Limits bound a [Batcher].
type Limits struct {
	// Single gives a caller of Do a statement of its own when it would not wait for
	// another one.
	Single bool
	// Concurrency is the number of statements that run at once.
	Concurrency int
	// ExtraConcurrency is the number of stalled statements that others replace. When
	// more have stalled, callers no longer wait for a batched statement.
	ExtraConcurrency int
	// Requests and Bytes bound one batched statement. A request larger than Bytes
	// has a batch of its own.
	Requests, Bytes int
	// Patience is the time after which a statement without an answer no longer
	// delays the requests that are not in it.
	Patience time.Duration
	// Timeout bounds a batched statement, which no caller's context cancels.
	Timeout time.Duration
}

// Config holds the statements of a [Batcher]. Try, Repeat and Undo are optional.
type Config[Q, A any] struct {
	// Op names the operation in the error of a context that has ended.
	Op string
	// One answers one request. It may wait for a locked row.
	One func(context.Context, Q) (A, error)
	// Try is used before One for a caller that does not wait for a batch: one statement
	// that waits for nothing, since other callers may wait for it.
	Try func(context.Context, Q) (Result[A], error)
	// Many answers a batch of requests, in their order. An error means that none of
	// them is known to have been served.
	Many func(context.Context, []Q) ([]Result[A], error)
	// Repeat is used in place of One for a request that a failed Many may have
	// served. It is nil if One recognizes such a request.
	Repeat func(context.Context, Q) (A, error)
	// Size returns the bytes that a request adds to a statement.
	Size func(Q) int
	// Undo reverts a served request whose caller has left.
	Undo func(Q, A)
	// AffectsAll reports whether an error of Many is the answer to every request in it:
	// a separate statement for each would fail too, or must not be sent.
	AffectsAll func(error) bool

	Limits Limits
}

// Result is the part of one request in the answer to a batch.
type Result[A any] struct {
	Answer A
	// Served is false for a request that needs a statement of its own.
	Served bool
}

// Batcher answers concurrent requests in batches. It is safe for concurrent use.
//
// At most Limits.Concurrency statements run at once. A caller that finds fewer has a
// statement of its own. All requests that arrive meanwhile share the next statement,
// which starts as soon as a previous one has ended: a statement for two costs hardly
// more than one for a single request. No caller waits for a timer, and none is answered
// before the commit.
//
// Callers do not affect each other. One whose context ends leaves, and the others
// stay. A request that the batch did not serve gets a statement of its own, and so
// do all requests of a batch that timed out or failed with an error that does not
// affect them all. A statement without an answer delays the requests in it until
// Limits.Timeout, and the others until Limits.Patience.
type Batcher[Q, A any] struct {
	config Config[Q, A]
	limits Limits

	calls sync.Pool // of *call[Q, A] that nothing refers to

	mu        sync.Mutex
	waiting   []*call[Q, A]
	running   int          // statements
	stalled   int          // those of them without an answer for longer than Patience
	unwatched []*statement // those of them that no call has waited for
}

// New returns a Batcher.
func New[Q, A any](config Config[Q, A]) *Batcher[Q, A] {
	b := &Batcher[Q, A]{config: config, limits: config.Limits}
	b.calls.New = func() any { return &call[Q, A]{wake: make(chan struct{}, 1)} }
	return b
}

// Do answers one request: with a statement of its own, or as a part of a batch.
func (b *Batcher[Q, A]) Do(ctx context.Context, request Q) (A, error) {
	if err := ctx.Err(); err != nil { // or the request might be served before the caller is seen to have left
		var none A
		return none, fmt.Errorf("%s: %w", b.config.Op, err)
	}
	c, own := b.join(request)
	if c == nil {
		if result, err := b.try(ctx, own, request); err != nil || result.Served {
			return result.Answer, err
		}
		return b.config.One(ctx, request)
	}
	select {
	case <-c.wake:
	case <-ctx.Done():
		if c.end(hasLeft) {
			var none A
			return none, fmt.Errorf("%s: %w", b.config.Op, ctx.Err())
		}
		<-c.wake
	}
	result := c.reply
	b.free(c)
	if result.err != nil || result.Served {
		return result.Answer, result.err
	}
	return b.alone(ctx, request, result.unknown)
}

// Go is [Batcher.Do] without a caller that waits: it passes the answer to done, which is
// called once, on another goroutine, and must not block. The request always becomes part
// of a batch. A statement of its own, if the batch did not serve it, has Limits.Timeout.
func (b *Batcher[Q, A]) Go(request Q, done func(A, error)) {
	c := b.call(request)
	c.done = done
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wait(c)
}

// join returns the call to wait for, or the statement of a caller that has one of its
// own.
func (b *Batcher[Q, A]) join(request Q) (*call[Q, A], *statement) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limits.Single && len(b.waiting) == 0 && b.running < b.concurrency() {
		b.running++
		return nil, b.begin()
	}
	c := b.call(request)
	b.wait(c)
	return c, nil
}

// wait makes c wait for a statement. b.mu is held.
func (b *Batcher[Q, A]) wait(c *call[Q, A]) {
	b.waiting = append(b.waiting, c)
	for _, s := range b.unwatched {
		b.watch(s)
	}
	b.unwatched = nil
	b.serve()
}

// try runs the statement of one caller.
func (b *Batcher[Q, A]) try(ctx context.Context, own *statement, request Q) (result Result[A], err error) {
	defer b.end(own)
	if b.config.Try != nil {
		return b.config.Try(ctx, request)
	}
	result.Answer, err = b.config.One(ctx, request)
	result.Served = true
	return result, err
}

// alone answers a request that a batch did not serve.
func (b *Batcher[Q, A]) alone(ctx context.Context, request Q, unknown bool) (A, error) {
	if unknown && b.config.Repeat != nil {
		return b.config.Repeat(ctx, request)
	}
	return b.config.One(ctx, request)
}
