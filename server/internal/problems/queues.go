package problems

import (
	"cmp"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// isUnserved reports whether a queue has tasks that are due, none of which runs or has run.
func (f *finder) isUnserved(q queue.QueueStats) bool {
	return !f.Paused(q.Queue) && !f.RateReached(q.Queue) &&
		q.Pending > 0 && q.Running == 0 && q.Succeeded+q.Failed == 0 && f.QueuesAt.Sub(q.OldestSince) > UnservedAfter
}

// unserved are queues without a worker, and with what refuses their tickets, if it does.
func (f *finder) unserved() (list []Problem) {
	for _, q := range f.Queues {
		if !f.isUnserved(q) || !f.told[q.Queue] && !f.Each {
			continue
		}
		p := Problem{
			Kind: Unserved, Subject: q.Queue, Count: q.Pending,
			Title: f.t("No worker serves queue %s", q.Queue),
			Why: lang.Sentences(f.t("%d tasks are due, the oldest for %s, and none ran in the last hour.", q.Pending, f.span(f.QueuesAt.Sub(q.OldestSince))),
				f.t("Check the name of the queue, and that a worker or a Cloud Tasks queue serves it.")),
			Show: page("/tasks", "view", string(queue.ViewPending), "queue", q.Queue, "backend", q.Backend),
		}
		for _, row := range f.Stranded {
			if row.Queue == q.Queue && row.DispatchError != "" {
				p.Why = lang.Sentences(p.Why, f.noTicket(row))
				break
			}
		}
		list = append(list, p)
	}
	return list
}

// pausedQueues are paused queues with tasks that are due: the pause may have been forgotten.
func (f *finder) pausedQueues() (list []Problem) {
	for _, g := range f.Gates {
		waiting := 0
		for _, q := range f.Queues {
			if q.Queue == g.Queue {
				waiting += q.Pending
			}
		}
		if !g.Paused() || waiting == 0 {
			continue
		}
		ago, by := f.span(f.QueuesAt.Sub(g.PausedAt)), cmp.Or(g.PausedBy, f.t("an unknown user"))
		paused := f.t("Paused %s ago by %s.", ago, by)
		if g.PauseReason != "" {
			paused = f.t("Paused %s ago by %s: %s", ago, by, api.Clip(g.PauseReason, 200))
		}
		list = append(list, Problem{
			Kind: Paused, Subject: g.Queue, Count: waiting, Title: f.t("Queue %s is paused", g.Queue),
			Why:  lang.Sentences(f.t("%d tasks are due and wait until it is resumed.", waiting), paused),
			Show: page("/tasks", "queue", g.Queue, "parked", "1"),
			Act:  page("/queues"), ActName: f.t("Resume…"),
		})
	}
	return list
}

// Paused reports whether a queue is paused.
func (s State) Paused(name string) bool {
	return slices.ContainsFunc(s.Gates, func(g queue.Gate) bool { return g.Queue == name && g.Paused() })
}

// RateReached reports whether a limit may explain that nothing of a queue was started for
// long: its own, or one of tasks and keys.
func (s State) RateReached(name string) bool {
	return slices.ContainsFunc(s.Limits, func(u queue.LimitUse) bool {
		return u.Starts > 0 && u.Started > 0 && u.Per > 10*time.Minute && (u.Kind != queue.LimitQueue || u.Name == name)
	})
}

// fullLimits are queues that let no task start: a limit that is reached although nothing
// has ended for long, usually by tasks whose workers are gone.
func (f *finder) fullLimits() (list []Problem) {
	for _, u := range f.Limits {
		if u.Kind != queue.LimitQueue || u.Running == 0 || u.Active+u.Chosen < u.Running || f.Paused(u.Name) {
			continue
		}
		q := OfQueue(f.Queues, u.Name)
		if q.Pending == 0 || q.Succeeded+q.Failed > 0 || f.QueuesAt.Sub(q.OldestSince) <= UnservedAfter {
			continue
		}
		list = append(list, Problem{
			Kind: Limit, Subject: q.Queue, Count: q.Pending,
			Title: f.t("Queue %s is at its limit, and none of its tasks ended in the last hour", q.Queue),
			Why: lang.Sentences(f.t("%d tasks are due, the oldest for %s.", q.Pending, f.span(f.QueuesAt.Sub(q.OldestSince))),
				f.t("The limit is %d running tasks, and %s are running or about to start.", u.Running, f.Printer.Number(u.Active+u.Chosen)),
				f.t("Check that they make progress: a task whose worker is gone counts until its lease has expired and it was requeued.")),
			Show: page("/tasks", "view", string(queue.ViewRunning), "queue", q.Queue),
		})
	}
	return list
}

// fullBacklogs are queues that accept no task.
func (f *finder) fullBacklogs() (list []Problem) {
	for _, q := range f.Queues {
		most := f.MaxBacklog(q.Queue)
		ready := q.Pending + q.Delayed
		if most == 0 || ready < most {
			continue
		}
		list = append(list, Problem{
			Kind: Backlog, Subject: q.Queue, Count: ready,
			Title: f.t("The backlog of queue %s is full: new tasks are refused", q.Queue),
			Why: lang.Sentences(f.t("%d tasks are READY, and the limit is %s.", ready, f.Printer.Number(most)),
				f.t("New tasks are accepted again once some have started. Add workers, or raise the limit.")),
			Show: page("/tasks", "view", string(queue.ViewPending), "queue", q.Queue, "backend", q.Backend),
		})
	}
	return list
}

// OfQueue adds up the statistics of a queue in all backends.
func OfQueue(all []queue.QueueStats, name string) queue.QueueStats {
	sum := queue.QueueStats{Queue: name}
	for _, q := range all {
		if q.Queue != name {
			continue
		}
		sum.Pending, sum.Running, sum.Expired = sum.Pending+q.Pending, sum.Running+q.Running, sum.Expired+q.Expired
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

// TickGrace is how late a schedule may be until it is a problem.
const TickGrace = 5 * time.Minute

// Late reports whether the task of a schedule should have been enqueued long ago.
func Late(s *queue.Schedule, now time.Time) bool {
	return !s.NextAt.IsZero() && now.Sub(s.NextAt) > TickGrace
}

// schedules are schedules that are late, and those whose latest task failed, unless that the
// sweeper does not run, or that all tasks of the name fail, is a problem already.
func (f *finder) schedules() (list []Problem) {
	var failing []Problem
	if !f.Each {
		failing = f.failing()
	}
	for _, s := range f.Schedules {
		show := page("/schedules/" + s.Name)
		switch {
		case Late(s, f.SchedulesAt) && (f.Each || !f.sweepless()):
			list = append(list, Problem{
				Kind: LateSchedule, Subject: s.Name,
				Title: f.t("Schedule %s is late", s.Name),
				Why: lang.Sentences(f.t("Its task was due %s ago and is not enqueued.", f.span(f.SchedulesAt.Sub(s.NextAt))),
					f.t("Check that a worker runs, or that /tasks/tick/ or /tasks/sweep/ is called regularly.")),
				Show: show,
			})
		case s.LastStatus == queue.StatusFailed && !s.Paused() && !s.Removed() && !slices.ContainsFunc(failing, func(p Problem) bool { return p.Task == s.Task }):
			list = append(list, Problem{Kind: FailedSchedule, Subject: s.Name, Title: f.t("Schedule %s is failing", s.Name), Why: f.t("Its latest task is FAILED."), Show: show})
		}
	}
	return list
}
