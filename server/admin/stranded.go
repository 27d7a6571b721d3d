package admin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Stranded rows are READY, and should have been claimed by now, or have got a
// ticket: those that are due, and those that wait for their time and whose
// ticket was refused, or is overdue.

// inDelayed begins the cursor of a page of stranded rows that wait for their
// time.
const inDelayed = "delayed:"

// list is Operator.List. Of all stranded rows it lists those that are pending, and
// then those that are delayed: READY rows are in no other view, and among all
// rows they would be looked for in the latest only. Four statements at most.
func (h *handler) list(ctx context.Context, r queue.ListRequest) (queue.ListPage, error) {
	operator := h.operator
	if !r.Stranded || r.View != queue.ViewAll && r.View != "" {
		return operator.List(ctx, r)
	}
	var pending queue.ListPage
	after, further := strings.CutPrefix(r.After, inDelayed)
	if !further {
		var err error
		r.View = queue.ViewPending
		if pending, err = operator.List(ctx, r); err != nil || pending.Next != "" {
			return pending, err
		}
		after = ""
	}
	if r.Limit -= len(pending.Rows); r.Limit == 0 {
		return queue.ListPage{Rows: pending.Rows, Next: inDelayed}, nil
	}
	r.View, r.After = queue.ViewDelayed, after
	page, err := operator.List(ctx, r)
	page.Rows = append(pending.Rows, page.Rows...)
	if page.Next != "" {
		page.Next = inDelayed + page.Next
	}
	return page, err
}

// strandedWarning says why rows are stranded, as far as some of them tell. Its
// number, its link and its button are of the same rows.
func (h *handler) strandedWarning(rows []*queue.Row, n int, now time.Time) warning {
	w := warning{
		Title:   fmt.Sprintf("%s %s stranded", count(n, "task"), isAre(n)),
		Why:     "Why is not known yet: none of them is among the tasks that were looked at so far.",
		Show:    h.link("/tasks", "stranded", "1"),
		ActName: "Dispatch them again",
		Act:     h.link("/confirm", "stranded", "1", "all", string(queue.ActionRun)),
	}
	reasons := make(map[string]int)
	early := false
	for _, row := range rows {
		early = early || dueAt(row).After(now)
		reasons[h.whyStranded(row, now)]++
	}
	if len(rows) > 0 {
		w.Why = "By now they should have been claimed, or have a ticket. "
		if early {
			w.Why += "Some are not due yet: the sweeper makes their tickets and keeps to their time, running them now does not. "
			w.ActName = "Run them now"
		}
		w.Why += most(reasons, len(rows), n)
	}
	return w
}

func (h *handler) whyStranded(row *queue.Row, now time.Time) string {
	switch {
	case row.DispatchError != "":
		return "Their tickets could not be created: " + clip(row.DispatchError, 200)
	case !h.registered(row.Task):
		return "No program here knows tasks named " + clip(row.Task, 80) + "."
	case dueAt(row).After(now):
		return "They are due later, and nobody has made their tickets: the sweeper does."
	default:
		return "Nobody came for them in queue " + row.Queue + ": " + h.nobodyCame()
	}
}

// nobodyCame is why a task that is due may not have been claimed.
func (h *handler) nobodyCame() string {
	if h.Dispatches {
		return "their tickets were lost, the queue is paused or slow, or the program refuses its deliveries."
	}
	return "no worker that pulls from it is up, or all are busy."
}

// most is the reason with the highest count, of so many rows that were looked
// at, out of all.
func most(reasons map[string]int, looked, all int) (reason string) {
	for text, n := range reasons {
		if best := reasons[reason]; n > best || n == best && text < reason {
			reason = text
		}
	}
	more := len(reasons) - 1
	if more == 0 && looked >= all {
		return reason
	}
	of := " of " + num(looked)
	if looked < all {
		of += " looked at"
	}
	said := num(reasons[reason]) + of
	if more > 0 {
		said += ", and " + count(more, "other reason")
	}
	return reason + " (" + said + ")"
}
