package admin

import (
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// actionText describes an action.
type actionText struct {
	Verb   lang.Text // Retry
	Means  lang.Text // what it does, and whether that can be undone
	Only   lang.Text // which tasks it is for: others are skipped
	Danger bool

	ask   func(n int) lang.Text                    // Retry 2 tasks
	atMin func(n int) lang.Text                    // Retry 100,000 or more tasks
	done  func(n int) lang.Text                    // 2 tasks are READY again.
	suits func(row *queue.Row, now time.Time) bool // as far as a row shows
}

// button is what does the action to n tasks, or to n or more.
func (a actionText) button(n int, many bool) lang.Text {
	if many { // then all that match are changed, and the button must not say less
		return a.atMin(n)
	}
	return a.ask(n)
}

var actionTexts = map[queue.Action]actionText{
	queue.ActionRun: {
		Verb:  lang.M("Run now"),
		Means: lang.M("READY tasks become due now, whatever time they wait for, and are dispatched again. Until they start, they can be cancelled."),
		Only:  lang.M("Only READY tasks that were not dispatched in the last minutes can be run now."),
		ask:   func(n int) lang.Text { return lang.M("Run %d tasks now", n) },
		atMin: func(n int) lang.Text { return lang.M("Run %d or more tasks now", n) },
		done:  func(n int) lang.Text { return lang.M("%d tasks were dispatched and can run now.", n) },
		suits: func(row *queue.Row, _ time.Time) bool {
			return row.Status == queue.StatusReady && !row.Parked() && !row.WaitsForLimit()
		},
	},
	queue.ActionRetry: {
		Verb:  lang.M("Retry"),
		Means: lang.M("FAILED tasks become READY, with at least one attempt left, and are dispatched again. Their errors are kept. Side effects of failed attempts may happen twice. Until they start, they can be cancelled."),
		Only:  lang.M("Only FAILED tasks can be retried."),
		ask:   func(n int) lang.Text { return lang.M("Retry %d tasks", n) },
		atMin: func(n int) lang.Text { return lang.M("Retry %d or more tasks", n) },
		done:  func(n int) lang.Text { return lang.M("%d tasks are READY again.", n) },
		suits: func(row *queue.Row, _ time.Time) bool { return row.Status == queue.StatusFailed && !row.Dropped() },
	},
	queue.ActionRequeue: {
		Verb:  lang.M("Requeue"),
		Means: lang.M("RUNNING tasks whose lease has expired become READY and are dispatched again. This cannot be undone: a worker that still runs one can no longer store its result. Tasks of live workers are not changed."),
		Only:  lang.M("Only RUNNING tasks whose lease has expired can be requeued."),
		ask:   func(n int) lang.Text { return lang.M("Requeue %d tasks", n) },
		atMin: func(n int) lang.Text { return lang.M("Requeue %d or more tasks", n) },
		done:  func(n int) lang.Text { return lang.M("%d tasks are READY again.", n) },
		suits: func(row *queue.Row, now time.Time) bool {
			return row.Status == queue.StatusRunning && !row.LeaseExpiresAt.After(now)
		},
	},
	queue.ActionCancel: {
		Verb:   lang.M("Cancel"),
		Danger: true,
		Means:  lang.M("READY and RUNNING tasks become CANCELLED. This cannot be undone: CANCELLED tasks cannot be retried. The context of a running function is cancelled, and its result is not stored."),
		Only:   lang.M("Only READY and RUNNING tasks can be cancelled."),
		ask:    func(n int) lang.Text { return lang.M("Cancel %d tasks", n) },
		atMin:  func(n int) lang.Text { return lang.M("Cancel %d or more tasks", n) },
		done:   func(n int) lang.Text { return lang.M("%d tasks are CANCELLED.", n) },
		suits:  func(row *queue.Row, _ time.Time) bool { return !row.Status.Final() },
	},
	queue.ActionDelete: {
		Verb:   lang.M("Delete"),
		Danger: true,
		Means:  lang.M("Tasks that are not RUNNING are deleted, with their arguments, results and errors. This cannot be undone. READY tasks among them never run. The audit log keeps their IDs and who deleted them."),
		Only:   lang.M("RUNNING tasks cannot be deleted."),
		ask:    func(n int) lang.Text { return lang.M("Delete %d tasks", n) },
		atMin:  func(n int) lang.Text { return lang.M("Delete %d or more tasks", n) },
		done:   func(n int) lang.Text { return lang.M("%d tasks are deleted.", n) },
		suits:  func(row *queue.Row, _ time.Time) bool { return row.Status != queue.StatusRunning },
	},
}
