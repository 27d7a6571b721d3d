package storekit

import (
	"fmt"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Forever is after all times, and what is added to it still fits.
var Forever = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// DroppedRetry stands for the rows that an ActionRetry skips because their arguments were
// dropped. It is only counted.
const DroppedRetry queue.Action = "retry without arguments"

// actionRows are the conditions of the rows that an action applies to, and has not
// been applied to since $before.
var actionRows = map[queue.Action]string{
	// Not rows that since then were made due, failed to be dispatched, or have run.
	queue.ActionRun: `status = 'READY' AND NOT (hold = 0 AND dispatch_due_at > $before + $grace AND dispatch_due_at <= $now + $grace)
		AND NOT (dispatch_error IS NOT NULL AND dispatch_due_at > $before AND dispatch_due_at <= $now)
		AND (last_attempted_at IS NULL OR last_attempted_at < $before)`,
	queue.ActionRetry:   `status = 'FAILED' AND finished_at <= $before AND (keep_failed IS NULL OR keep_failed <> 0)`,
	queue.ActionRequeue: `status = 'RUNNING' AND lease_expires_at <= $now`,
	queue.ActionCancel:  `status IN ('READY', 'RUNNING') AND enqueued_at <= $before`,
	DroppedRetry:        `status = 'FAILED' AND finished_at <= $before AND keep_failed = 0`,
	queue.ActionDelete:  `status IN ('READY', 'SUCCESSFUL', 'FAILED', 'CANCELLED') AND enqueued_at <= $before`,
}

// ActionRows returns the condition of the rows that an action applies to, and has
// not been applied to since before. before, now and grace are SQL for these times
// and for queue.DispatchGrace.
func ActionRows(a queue.Action, before, now, grace string) string {
	return strings.NewReplacer("$before", before, "$now", now, "$grace", grace).Replace(actionRows[a])
}

// CheckAction refuses an action that is not known, and a selection that is not
// valid, whose empty view becomes ViewAll, or by contents, which only a list searches.
func CheckAction(a queue.Action, s *queue.Selection) error {
	if _, known := actionRows[a]; !known {
		return fmt.Errorf("%w: action %q is not known", queue.ErrInvalid, a)
	}
	if s.ByContents() {
		return fmt.Errorf("%w: a store does not act by the contents of rows: queue.Client finds them first", queue.ErrInvalid)
	}
	return s.Check()
}
