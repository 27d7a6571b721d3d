package queue

import (
	"context"
	"time"
)

// DispatchQueue is a queue of the service that a [Dispatcher] sends tickets to, as the
// service describes it.
type DispatchQueue struct {
	Name string // the service's, whole
	// Err says why the rest is not known; nil: it is.
	Err error

	State string // the service's word: RUNNING, PAUSED, DISABLED

	MaxPerSecond  float64 // dispatches
	MaxBurst      int
	MaxConcurrent int // dispatches that have not been answered

	MaxAttempts  int           // of one ticket; -1: any number
	MaxRetryTime time.Duration // for which a ticket is retried; 0: any time
	MinBackoff   time.Duration
	MaxBackoff   time.Duration
	MaxDoublings int // of the backoff

	// Depth is what the queue contains; nil: DepthErr says why it is not known.
	Depth    *DispatchDepth
	DepthErr error
}

// DispatchDepth is what a queue of the service contains, roughly: the service estimates it.
type DispatchDepth struct {
	Tickets        int64
	OldestDue      time.Time // zero: there are none
	LastMinute     int64     // dispatched within it
	Concurrent     int64     // dispatched and not answered yet
	EffectiveLimit float64   // dispatches a second, as the service limits them now
}

// A QueueInspector is a [Dispatcher] that can describe the queues of the service to which
// the tickets of a queue of tasks go. It asks the service, so ctx should have a deadline.
// What it cannot find out is an error of the DispatchQueue.
type QueueInspector interface {
	InspectQueue(ctx context.Context, queue string) []DispatchQueue
}

// InspectsQueues reports whether the dispatcher of a backend is a [QueueInspector].
func (c *Client) InspectsQueues(backend string) bool {
	if c.check() != nil {
		return false
	}
	_, ok := c.backends[backend].Dispatcher.(QueueInspector)
	return ok
}

// InspectQueue describes the queues of the service to which a backend sends the tickets of
// a queue, if its dispatcher is a [QueueInspector]; else the error is [ErrUnsupported].
func (c *Client) InspectQueue(ctx context.Context, backend, queue string) ([]DispatchQueue, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	inspector, ok := c.backends[backend].Dispatcher.(QueueInspector)
	if !ok {
		return nil, ErrUnsupported
	}
	return inspector.InspectQueue(ctx, queue), nil
}
