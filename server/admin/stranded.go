package admin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// Stranded rows are READY and should have been claimed, or have a ticket, by now: rows
// that are due, and rows that wait for their time and whose ticket was refused or is
// overdue.

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

// strandedWarning says why rows are stranded, as far as a sample shows. Its number,
// its link and its button concern the same rows.
func (h *handler) strandedWarning(rows []*queue.Row, n int, now time.Time) warning {
	w := warning{
		Title:   fmt.Sprintf("%s %s stranded", count(n, "task"), isAre(n)),
		Why:     "The reason is not known yet: none of them is among the tasks searched so far.",
		Show:    h.link("/tasks", "stranded", "1"),
		ActName: "Dispatch them again",
		Act:     h.link("/confirm", "stranded", "1", "all", string(queue.ActionRun)),
	}
	reasons := make(map[string]int)
	early := false
	for _, row := range rows {
		early = early || api.DueAt(row).After(now)
		reasons[h.whyStranded(row, now)]++
	}
	if len(rows) > 0 {
		w.Why = "They should have been claimed, or have a ticket, by now. "
		if early {
			w.Why += "Some are not due yet: the sweeper creates their tickets for their time; running them now ignores it. "
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
	case !h.Client.Knows(row):
		return "They are encrypted with key " + row.KeyID + ", which this program does not have."
	case api.DueAt(row).After(now):
		return "They are due later and have no tickets yet: the sweeper creates them."
	default:
		return "They were not claimed in queue " + row.Queue + ": " + h.whyNotClaimed()
	}
}

// whyNotClaimed says why a task that is due may not have been claimed.
func (h *handler) whyNotClaimed() string {
	if h.Dispatches {
		return "their tickets were lost, the queue is paused or slow, or the program refuses its deliveries."
	}
	return "no worker that pulls from it is up, or all are busy."
}

// most returns the reason with the highest count, of a sample of rows out of all.
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
		of += " in the sample"
	}
	said := num(reasons[reason]) + of
	if more > 0 {
		said += ", and " + count(more, "other reason")
	}
	return reason + " (" + said + ")"
}
