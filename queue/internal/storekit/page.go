package storekit

import "github.com/claimcheck-go/claimcheck/queue"

// Page returns a page of a list from rows, of which the store has read one more than
// r asks for. windowEnd reads the last row of the window that was searched, and
// reports false if the window holds all rows; it is nil if r has no conditions
// besides its view, so that there is no window.
func Page(r queue.ListRequest, rows []*queue.Row, windowEnd func() (queue.Cursor, bool, error)) (queue.ListPage, error) {
	if len(rows) > r.Limit {
		return queue.ListPage{Rows: rows[:r.Limit], Next: queue.CursorOf(r.View, rows[r.Limit-1]).String()}, nil
	}
	page := queue.ListPage{Rows: rows}
	if windowEnd == nil {
		return page, nil
	}
	end, found, err := windowEnd()
	if err == nil && found {
		page.Next, page.Partial = end.String(), true
	}
	return page, err
}
