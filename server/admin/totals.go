package admin

import (
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// totals are the figures of all queues together. Each has one definition, here, and the same
// name on every page and in docs/admin.md. They are of one moment, the one at which
// [queue.Overview] was read, and so are the figures of each queue and of each kind of
// failure: what stands together adds up.
type totals struct {
	At time.Time // the moment

	Pending     int       // READY tasks that are due, whether or not anything may start them
	Held        int       // of Pending: those in paused queues
	OldestSince time.Time // since when the first of Pending has been due
	Delayed     int       // READY tasks that are not due yet, those that wait for another attempt included
	Running     int       // RUNNING tasks
	Expired     int       // of Running: those whose leases have expired
	Stranded    int       // of Pending and Delayed: those that should have been claimed, or have a ticket, by now

	// Tasks that ended so in the last 60 minutes, and still have that status: a task that
	// was retried since, or deleted, is in neither.
	Succeeded, Failed int

	FailedNow int // FAILED tasks, whenever they failed
	FailedDay int // of FailedNow: those of the last 24 hours, which begin with an hour as the charts do
	// FailedMost: there may be more FAILED tasks than were read, which are those that failed
	// last. FailedNow and FailedDay are lower bounds then, and shown as 50,000+.
	FailedMost bool
}

// sum adds up what is known of the queues.
func sum(stats statsView) totals {
	t := totals{At: stats.QueuesAt}
	for _, q := range stats.Queues {
		t.Pending += q.Pending
		if stats.Paused(q.Queue) {
			t.Held += q.Pending
		}
		t.Delayed += q.Delayed
		t.Running += q.Running
		t.Expired += q.Expired
		t.Stranded += q.Stranded
		t.Succeeded += q.Succeeded
		t.Failed += q.Failed
		if !q.OldestSince.IsZero() && (t.OldestSince.IsZero() || q.OldestSince.Before(t.OldestSince)) {
			t.OldestSince = q.OldestSince
		}
	}
	for _, group := range stats.Failures {
		t.FailedNow += group.Count
		t.FailedDay += group.Recent
	}
	t.FailedMost = t.FailedNow >= queue.FailuresWindow || len(stats.Failures) == statsGroups
	return t
}
