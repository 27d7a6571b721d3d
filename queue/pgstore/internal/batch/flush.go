package batch

import (
	"context"
)

// concurrency is the number of batched statements that may run now. b.mu is held.
func (b *Batcher[Q, A]) concurrency() int {
	return b.limits.Concurrency + min(b.stalled, b.limits.ExtraConcurrency)
}

// serve makes sure that waiting calls wait for a statement that is not stalled.
// b.mu is held.
func (b *Batcher[Q, A]) serve() {
	switch {
	case len(b.waiting) == 0:
	case b.running < b.concurrency():
		b.running++
		go b.flush()
	case b.stalled == b.limits.Concurrency+b.limits.ExtraConcurrency:
		calls := b.waiting
		b.waiting = nil
		go b.answer(calls, make([]Result[A], len(calls)), false, nil) // not served: each gets a statement of its own
	}
}

// flush runs one batched statement. When it has ended, the next one starts, and the
// callers get their answers.
func (b *Batcher[Q, A]) flush() {
	calls := b.take()
	if len(calls) == 0 {
		return
	}
	requests := make([]Q, len(calls))
	for i, c := range calls {
		requests[i] = c.request
	}
	results, err := b.send(requests)
	unknown := err != nil && !b.config.AffectsAll(err)
	if unknown {
		results, err = make([]Result[A], len(calls)), nil // each gets a statement of its own
	}
	b.answer(calls, results, unknown, err)
}

// send runs one batched statement.
func (b *Batcher[Q, A]) send(requests []Q) ([]Result[A], error) {
	ctx, cancel := context.WithTimeout(context.Background(), b.limits.Timeout)
	defer cancel()
	b.mu.Lock()
	s := b.begin()
	b.mu.Unlock()
	defer b.end(s)
	return b.config.Many(ctx, requests)
}

// take returns the calls of the next statement: at least one, if a call waits whose
// caller has not left. None means that this flush ends: no call waits, or it replaced
// a stalled statement that has ended.
func (b *Batcher[Q, A]) take() []*call[Q, A] {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running > b.concurrency() {
		b.running--
		return nil
	}
	var calls []*call[Q, A]
	n, size := 0, 0
	for ; n < len(b.waiting) && len(calls) < b.limits.Requests; n++ {
		c := b.waiting[n]
		if c.gone() {
			continue
		}
		if size += b.config.Size(c.request); size > b.limits.Bytes && len(calls) > 0 {
			break
		}
		calls = append(calls, c)
	}
	if b.waiting = b.waiting[n:]; len(b.waiting) == 0 {
		b.waiting = nil
	}
	if len(calls) == 0 {
		b.running--
		return nil
	}
	return calls
}

// answer returns the results to the callers, and reverts what was done for those
// that have left.
func (b *Batcher[Q, A]) answer(calls []*call[Q, A], results []Result[A], unknown bool, err error) {
	stayed := calls[:0]
	for i, c := range calls {
		if c.reply = (reply[A]{err: err}); err == nil {
			c.reply = reply[A]{Result: results[i], unknown: unknown}
		}
		if c.end(isAnswered) {
			stayed = append(stayed, c)
		} else if c.Served && b.config.Undo != nil {
			b.config.Undo(c.request, c.Answer)
		}
	}
	for _, c := range stayed {
		b.deliver(c)
	}
}
