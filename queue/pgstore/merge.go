package pgstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

const (
	// aloneUpTo is how many concurrent callers are better off with a statement
	// each than with one for all of them, unless they are the first of a crowd:
	// then only one is.
	aloneUpTo = 4
	// insertLanes and changeLanes are how many merged statements of a kind are
	// under way at once. Callers that do nothing but insert would with one wait
	// for the disk twice. Claims and finishes come from tasks that run in between;
	// with two they cost half as much again.
	insertLanes = 2
	changeLanes = 1
	// mergeLimit is how many calls one statement answers at most.
	mergeLimit = 500
	// mergePatience is how long a merged statement may be without an answer before
	// those that are not in it go on without it: its connection may have fallen
	// silent, which is not found out before mergeTimeout.
	mergePatience = time.Second
	// extraLanes are how many such statements are made up for by others; with more
	// of them nobody waits for anybody.
	extraLanes = 4
	// mergeTimeout bounds a merged statement, which heeds no caller's context. Its
	// callers then go alone, on other connections, and must have time left for
	// that: they have ten seconds as a rule, and the end of a run is tried for
	// fifteen. Only here can an insert be asked for again, since an Enqueue that is
	// repeated makes another task. What was stored although the answer was lost is
	// not stored twice: a finish is recognised by its claim, a row by its ID, and a
	// claim that took effect refuses its repetition, until its lease ends.
	mergeTimeout = 4 * time.Second
)

// limits are those of a merger that tests may want to be others.
type limits struct {
	alone             int
	patience, timeout time.Duration
}

var usualLimits = limits{aloneUpTo, mergePatience, mergeTimeout}

// merger answers what many callers ask for at the same time with few
// statements, and so with few commits. While at most aloneUpTo callers are
// there each has a statement of its own; above that, whatever is waiting goes
// together as soon as one of the statements before it has ended. Nobody waits for a
// timer, and nobody is answered before the commit. Callers come in crowds: if the
// last statement that was merged answered many, only a caller who is by himself
// has one of his own.
//
// Callers do not feel each other: one whose context ends leaves, and the others
// stay; one that the merged statement could not serve, or all of them if it
// failed for another reason than the database's being down, or did not end, get a
// statement of their own after all. A statement without an answer holds up those
// that are in it, for so long, and those that are not, for less.
type merger[Q, A any] struct {
	op   string // for the error of a context that has ended
	one  func(context.Context, Q) (A, error)
	many func(context.Context, []Q) ([]merged[A], error)
	// again is one for a request that a merged statement may have done although its
	// answer was lost; nil: one recognises that by itself.
	again func(context.Context, Q) (A, error)
	size  func(Q) int // bytes that the statement carries for it
	// undo takes back what was done for a caller that has gone; may be nil.
	undo func(Q, A)

	limits
	lanes    int
	mu       sync.Mutex
	callers  int
	waiting  []*call[Q, A]
	flushing int // merged statements under way
	silent   int // those of them that have had no answer for longer than patience
	crowd    int // how many the last one answered
}

// merged is the part of one caller in the answer to a merged statement.
type merged[A any] struct {
	answer  A
	served  bool // if not, it needs a statement of its own
	unknown bool // whether it was served: the merged statement failed
}

// call is one caller that waits.
type call[Q, A any] struct {
	request Q
	done    chan struct{}
	merged[A]
	err  error
	gone bool
}

func (m *merger[Q, A]) do(ctx context.Context, request Q) (A, error) {
	if err := ctx.Err(); err != nil { // or it might be served before it is seen to have gone
		var none A
		return none, fmt.Errorf("%s: %w", m.op, err)
	}
	c := m.join(request)
	defer m.leave()
	if c == nil {
		return m.one(ctx, request)
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		if m.withdraw(c) {
			var none A
			return none, fmt.Errorf("%s: %w", m.op, ctx.Err())
		}
	}
	switch {
	case c.err != nil || c.served:
		return c.answer, c.err
	case c.unknown && m.again != nil:
		return m.again(ctx, request)
	}
	return m.one(ctx, request)
}

// join returns the call to wait for, or nil for a caller that goes alone.
func (m *merger[Q, A]) join(request Q) *call[Q, A] {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.callers++
	if m.callers <= m.alone && (m.crowd < m.alone || m.callers == 1) {
		return nil
	}
	c := &call[Q, A]{request: request, done: make(chan struct{})}
	m.waiting = append(m.waiting, c)
	m.serve()
	return c
}

// most is how many merged statements may be under way. m.mu is held.
func (m *merger[Q, A]) most() int { return m.lanes + min(m.silent, extraLanes) }

// serve sees to it that those who wait do so for a statement that is not silent.
// m.mu is held.
func (m *merger[Q, A]) serve() {
	switch {
	case len(m.waiting) == 0:
	case m.flushing < m.most():
		m.flushing++
		go m.flush()
	case m.silent == m.lanes+extraLanes:
		for _, c := range m.waiting {
			close(c.done) // not served: it goes alone
		}
		m.waiting = nil
	}
}

func (m *merger[Q, A]) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.callers--
}

// withdraw reports whether the caller left before it was answered.
func (m *merger[Q, A]) withdraw(c *call[Q, A]) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-c.done:
		return false
	default:
		c.gone = true
		return true
	}
}

// flush serves those who wait until nobody does.
func (m *merger[Q, A]) flush() {
	for calls := m.take(); len(calls) > 0; calls = m.take() {
		requests := make([]Q, len(calls))
		for i, c := range calls {
			requests[i] = c.request
		}
		answers, err := m.send(requests)
		if err != nil && !concernsAll(err) {
			answers, err = make([]merged[A], len(calls)), nil // each finds out alone
			for i := range answers {
				answers[i].unknown = true
			}
		}
		m.answer(calls, answers, err)
	}
}

// send sends one merged statement. While that is silent, others make up for it.
func (m *merger[Q, A]) send(requests []Q) ([]merged[A], error) {
	ctx, cancel := context.WithTimeout(context.Background(), m.timeout)
	defer cancel()
	var ended, silent bool
	timer := time.AfterFunc(m.patience, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if silent = !ended; silent {
			m.silent++
			m.serve()
		}
	})
	answers, err := m.many(ctx, requests)
	timer.Stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	if ended = true; silent {
		m.silent--
	}
	return answers, err
}

// take returns the calls that go into one statement: at least one, if any waits
// that has not gone. None means that this lane ends: nobody waits, or it made up
// for a silent one that has ended.
func (m *merger[Q, A]) take() []*call[Q, A] {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.flushing > m.most() {
		m.flushing--
		return nil
	}
	var calls []*call[Q, A]
	n, size := 0, 0
	for ; n < len(m.waiting) && len(calls) < mergeLimit; n++ {
		c := m.waiting[n]
		if c.gone {
			continue
		}
		if size += m.size(c.request); size > chunkBytes && len(calls) > 0 {
			break
		}
		calls = append(calls, c)
	}
	if m.waiting = m.waiting[n:]; len(m.waiting) == 0 {
		m.waiting = nil
	}
	if len(calls) == 0 {
		m.flushing--
		return nil
	}
	m.crowd = len(calls)
	return calls
}

// answer tells the callers what became of their requests, and undoes what was
// done for those that have gone.
func (m *merger[Q, A]) answer(calls []*call[Q, A], answers []merged[A], err error) {
	m.mu.Lock()
	var gone []*call[Q, A]
	for i, c := range calls {
		if c.err = err; err == nil {
			c.merged = answers[i]
		}
		close(c.done)
		if c.gone && c.served {
			gone = append(gone, c)
		}
	}
	m.mu.Unlock()
	if m.undo == nil {
		return
	}
	for _, c := range gone {
		m.undo(c.request, c.answer)
	}
}

// concernsAll tells an error of the database from one that a single request may
// have caused, by what it holds or by what it waits for.
func concernsAll(err error) bool {
	return !errors.Is(err, queue.ErrContended) && (errors.Is(err, queue.ErrUnavailable) || errors.Is(err, queue.ErrClosed) || errors.Is(err, queue.ErrSchema))
}
