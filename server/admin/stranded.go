package admin

import (
	"context"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Stranded rows are READY and should have been claimed, or have a ticket, by now: rows
// that are due, and rows that wait for their time and whose ticket was refused or is
// overdue.

// inDelayed begins the cursor of a page of stranded rows that wait for their
// time.
const inDelayed = "delayed:"

// list is Client.List. Of all stranded rows it lists those that are pending, and
// then those that are delayed: READY rows are in no other view, and among all
// rows they would be looked for in the latest only. Four statements at most.
func (h *handler) list(ctx context.Context, r queue.ListRequest) (queue.ListPage, error) {
	if !r.Stranded || r.View != queue.ViewAll && r.View != "" {
		return h.Client.List(ctx, r)
	}
	var pending queue.ListPage
	after, further := strings.CutPrefix(r.After, inDelayed)
	if !further {
		var err error
		r.View = queue.ViewPending
		if pending, err = h.Client.List(ctx, r); err != nil || pending.Next != "" {
			return pending, err
		}
		after = ""
	}
	if r.Limit -= len(pending.Rows); r.Limit == 0 {
		return queue.ListPage{Rows: pending.Rows, Next: inDelayed}, nil
	}
	r.View, r.After = queue.ViewDelayed, after
	page, err := h.Client.List(ctx, r)
	page.Rows = append(pending.Rows, page.Rows...)
	page.Unreadable += pending.Unreadable
	for id, text := range pending.Beginnings {
		page.Beginnings[id] = text
	}
	if page.Next != "" {
		page.Next = inDelayed + page.Next
	}
	return page, err
}
