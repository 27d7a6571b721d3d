package system

import (
	"context"
	"sync"
)

// merger answers requests of many callers with few statements. While at most
// plain of them are under way each goes alone; above that, whatever is waiting
// goes together as soon as the statement before it has ended.
type merger[Request, Answer any] struct {
	one  func(context.Context, Request) (Answer, error)
	many func(context.Context, []Request) ([]Answer, error)

	mu       sync.Mutex
	underWay int // callers, of either sort
	waiting  []*call[Request, Answer]
	flushing bool
}

// plain is how many callers are better off alone.
const plain = 4

type call[Request, Answer any] struct {
	request Request
	answer  Answer
	err     error
	done    chan struct{}
}

func (m *merger[Request, Answer]) do(ctx context.Context, request Request) (Answer, error) {
	m.mu.Lock()
	m.underWay++
	if m.underWay <= plain {
		m.mu.Unlock()
		defer m.leave()
		return m.one(ctx, request)
	}
	c := &call[Request, Answer]{request: request, done: make(chan struct{})}
	m.waiting = append(m.waiting, c)
	if !m.flushing {
		m.flushing = true
		go m.flush(context.WithoutCancel(ctx))
	}
	m.mu.Unlock()
	defer m.leave()
	<-c.done
	return c.answer, c.err
}

func (m *merger[Request, Answer]) leave() {
	m.mu.Lock()
	m.underWay--
	m.mu.Unlock()
}

// flush serves the waiting callers until none waits.
func (m *merger[Request, Answer]) flush(ctx context.Context) {
	for {
		m.mu.Lock()
		calls := m.waiting
		m.waiting = nil
		m.flushing = len(calls) > 0
		m.mu.Unlock()
		if len(calls) == 0 {
			return
		}
		requests := make([]Request, len(calls))
		for i, c := range calls {
			requests[i] = c.request
		}
		answers, err := m.many(ctx, requests)
		for i, c := range calls {
			if c.err = err; err == nil {
				c.answer = answers[i]
			}
			close(c.done)
		}
	}
}
