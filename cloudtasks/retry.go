package cloudtasks

import (
	"context"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// How creates are repeated. Google's client repeats none.
const (
	maxCreateCalls = 5
	firstBackoff   = 100 * time.Millisecond
	// quotaBackoff is where the backoff starts after RESOURCE_EXHAUSTED: quotas
	// are counted over a minute, and quick repeats only use up more.
	quotaBackoff = 500 * time.Millisecond
	maxBackoff   = 4 * time.Second

	// maxCallTime bounds one call. The service refuses deadlines over 30 s with
	// INVALID_ARGUMENT.
	maxCallTime = 10 * time.Second
	// minCallTime is too little to split: the last call gets all that is left.
	minCallTime = 500 * time.Millisecond
)

// create creates the task, or finds that a task of this name exists already.
func (d *Dispatcher) create(calls *callContexts, request *cloudtaskspb.CreateTaskRequest) error {
	var answered error // the last answer of the service, if there was one
	for call := 1; ; call++ {
		_, err := d.client.CreateTask(calls.next(), request)
		code := status.Code(err)
		if err != nil && (code != codes.DeadlineExceeded || answered == nil) {
			answered = err
		}
		switch {
		case err == nil:
			return nil
		case code == codes.AlreadyExists && request.GetTask().GetName() != "":
			return nil // that is what the name is for
		case !passing(code) || call == maxCreateCalls || !sleep(calls.parent, d.backoff(code, call)):
			return answered // more useful than "deadline exceeded"
		}
	}
}

// callContexts makes the contexts of calls that one goroutine makes one after the
// other. Each call gets two thirds of the time that parent has left: one that hangs
// must leave time for another.
type callContexts struct {
	parent context.Context

	current   context.Context
	cancel    context.CancelFunc
	usedUntil time.Time // calls that begin before it use current
}

// next returns the context of the next call. It is that of the call before, unless
// this has failed by it or has used up a twentieth of its time: each new context with a
// deadline has a timer, and is registered with its parent.
func (c *callContexts) next() context.Context {
	now := time.Now()
	if c.current != nil && now.Before(c.usedUntil) && c.current.Err() == nil {
		return c.current
	}
	c.close()
	limit := maxCallTime
	if deadline, ok := c.parent.Deadline(); ok {
		if left := deadline.Sub(now); left > minCallTime {
			limit = min(limit, left*2/3)
		}
	}
	c.current, c.cancel = context.WithTimeout(c.parent, limit)
	c.usedUntil = now.Add(limit / 20)
	return c.current
}

// close releases the current context.
func (c *callContexts) close() {
	if c.cancel != nil {
		c.cancel()
	}
}

// passing reports whether the same call may succeed a moment later. A create
// that was stored although it failed (DEADLINE_EXCEEDED, UNAVAILABLE, INTERNAL
// and UNKNOWN leave that open) is then stored twice, which the claim makes
// harmless.
func passing(code codes.Code) bool {
	switch code {
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted,
		codes.Aborted, codes.Internal, codes.Unknown:
		return true
	}
	return false
}

// backoff is how long to wait after the nth call failed: exponential with full
// jitter, so that callers that failed together do not come back together.
func (d *Dispatcher) backoff(code codes.Code, call int) time.Duration {
	ceiling := firstBackoff
	if code == codes.ResourceExhausted {
		ceiling = quotaBackoff
	}
	ceiling = min(maxBackoff, ceiling<<(call-1))
	return time.Duration(d.random() * float64(ceiling))
}

// sleep waits for d and reports true, or reports false as soon as ctx ends; if
// ctx is bound to end first, it does not wait at all.
func sleep(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
