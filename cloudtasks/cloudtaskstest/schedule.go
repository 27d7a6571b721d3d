package cloudtaskstest

import (
	"context"
	"net/http"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
)

// never is how long to wait when only a poke can bring something to do.
const never = time.Duration(1<<63 - 1)

// run starts what is due, and sleeps until the next task is, until ctx ends.
func (q *queue) run(ctx context.Context) {
	for {
		q.server.mu.Lock()
		now := time.Now()
		wait := min(q.expire(now), q.startDue(now))
		q.server.mu.Unlock()

		var due <-chan time.Time
		if wait != never { // a synctest bubble would go there
			due = time.After(wait)
		}
		select {
		case <-due:
		case <-q.wake:
		case <-ctx.Done():
			return
		}
	}
}

// expire removes tasks that are 31 days old, and returns how long it is until
// the next one is.
func (q *queue) expire(now time.Time) time.Duration {
	for len(q.byAge) > 0 {
		oldest := q.byAge[0]
		if !oldest.gone {
			if left := oldest.expires.Sub(now); left > 0 {
				return left
			}
			q.remove(oldest)
			q.server.stats.Expired++
		}
		q.byAge[0] = nil
		q.byAge = q.byAge[1:]
	}
	return never
}

// startDue starts every delivery that is due and that the limits allow, and
// returns how long it is until there may be another. The end of a delivery, a
// new task and new settings poke the queue.
func (q *queue) startDue(now time.Time) time.Duration {
	for len(q.waiting) > 0 {
		next := q.waiting[0]
		if left := next.due.Sub(now); left > 0 {
			return left
		}
		if q.settings.GetState() != cloudtaskspb.Queue_RUNNING ||
			q.running >= int(q.settings.GetRateLimits().GetMaxConcurrentDispatches()) {
			return never
		}
		if left := q.limits.take(now); left > 0 {
			return left
		}
		next.stopWaiting()
		q.start(next, now)
	}
	return never
}

// start begins one attempt at a task. It is called with Server.mu held.
func (q *queue) start(t *task, now time.Time) {
	faults := &q.server.faults
	d := newDelivery(q.server, t)
	n := t.begin(now)
	d.delay = faults.delay(t.name())
	d.loseAnswer = faults.strikes(LoseAnswer, t.name())
	q.send(d, func(o outcome) { q.finish(t, n, o) })
	if faults.strikes(Duplicate, t.name()) {
		d.delay, d.loseAnswer = faults.delay(t.name()), false
		q.send(d, func(outcome) {})
	}
}

// send makes a delivery beside the caller, and calls done with Server.mu held.
func (q *queue) send(d delivery, done func(outcome)) {
	s := q.server
	q.running++
	s.stats.Delivered++
	s.wg.Go(func() {
		o := s.deliver(d)
		s.mu.Lock()
		defer s.mu.Unlock()
		q.running--
		done(o)
		q.poke()
		s.noteChange()
	})
}

// finish takes in how attempt n ended: 2xx deletes the task, anything else has
// it retried or given up.
func (q *queue) finish(t *task, n int, o outcome) {
	now := time.Now()
	stats := &q.server.stats
	t.end(n, o, now)
	appEngine := t.pb.GetAppEngineHttpRequest() != nil
	slowDown := o.code == http.StatusServiceUnavailable || o.code == http.StatusTooManyRequests && !appEngine
	q.limits.answered(now, slowDown, o.ok())
	if o.ok() {
		stats.Succeeded++
	} else {
		stats.Failed++
	}
	switch {
	case t.gone: // deleted, purged or expired meanwhile, or a RunTask beside it succeeded
	case o.ok():
		q.remove(t)
	case exhausted(t.retry(), t.failures, now.Sub(t.pb.GetFirstAttempt().GetDispatchTime().AsTime())):
		stats.Dropped++
		q.remove(t)
	default:
		t.setDue(now.Add(max(backoff(t.retry(), t.failures), o.retryAfter)))
	}
}

// remove takes a task out of the queue and keeps its name reserved.
func (q *queue) remove(t *task) {
	s := q.server
	t.gone = true
	t.stopWaiting()
	delete(q.tasks, t.name())
	if t.named { // no caller can ask for a name that the service chose
		s.names.hold(t.name(), time.Now())
	}
	s.history.add(t)
	s.noteChange()
}
