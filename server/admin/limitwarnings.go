package admin

import (
	"fmt"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// fullWarnings are about queues that let no task start, or accept none: a limit that is
// reached although nothing has ended for long, usually by tasks whose workers are gone, and
// a backlog that is full.
func (h *handler) fullWarnings(b statsView) (list []warning) {
	for _, u := range b.Limits {
		if u.Kind != queue.LimitQueue || u.Running == 0 || u.Active+u.Chosen < u.Running || b.paused(u.Name) {
			continue
		}
		q := ofQueue(b.Queues, u.Name)
		if q.Pending == 0 || q.Succeeded+q.Failed > 0 || b.QueuesAt.Sub(q.OldestSince) <= unserved {
			continue
		}
		list = append(list, warning{
			Title: fmt.Sprintf("Queue %s is at its limit, and none of its tasks ended in the last hour", q.Queue),
			Why: fmt.Sprintf("%s %s due, the oldest for %s. %s. Do these tasks make progress? One whose worker is gone takes up the limit until its lease expires, and a sweep or a worker takes it back.",
				count(q.Pending, "task"), isAre(q.Pending), span(b.QueuesAt.Sub(q.OldestSince)), capitalized(u.Reason())),
			Show: h.link("/tasks", "view", string(queue.ViewRunning), "queue", q.Queue),
		})
	}
	for _, q := range b.Queues {
		most := h.Client.MaxBacklog(q.Queue)
		if most == 0 || q.Pending+q.Delayed < most {
			continue
		}
		list = append(list, warning{
			Title: fmt.Sprintf("The backlog of queue %s is full: new tasks are refused", q.Queue),
			Why: fmt.Sprintf("%s %s READY, and the bound is %s. Enqueues are accepted again when some of them have started: are there enough workers, and is the bound right?",
				count(q.Pending+q.Delayed, "task"), isAre(q.Pending+q.Delayed), num(most)),
			Show: h.link("/tasks", "view", string(queue.ViewPending), "queue", q.Queue, "backend", q.Backend),
		})
	}
	return list
}

// ofQueue adds up the statistics of a queue in all backends.
func ofQueue(all []queue.QueueStats, name string) queue.QueueStats {
	sum := queue.QueueStats{Queue: name}
	for _, q := range all {
		if q.Queue != name {
			continue
		}
		sum.Pending, sum.Running = sum.Pending+q.Pending, sum.Running+q.Running
		sum.Succeeded, sum.Failed = sum.Succeeded+q.Succeeded, sum.Failed+q.Failed
		sum.OldestSince = earlier(sum.OldestSince, q.OldestSince)
	}
	return sum
}

// earlier returns the earlier of two times; a zero one counts as none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
