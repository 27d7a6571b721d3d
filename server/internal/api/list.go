package api

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// ListRequest requests a page of tasks, as lists of the API and the command line have it:
// the newest first.
type ListRequest struct {
	queue.Selection
	Status queue.Status // empty: any
	Cursor string       // ListAnswer.Next of the page before
	Limit  int
	Budget time.Duration // how long contents are searched for
}

// ListAnswer is a page of tasks.
type ListAnswer struct {
	Results []*queue.Row `json:"results"`
	Next    string       `json:"next,omitempty"`
	// Partial says that the page ends because the search did. Searched is then how many tasks it has
	// looked at.
	Partial  bool `json:"partial,omitempty"`
	Searched int  `json:"searched,omitempty"`
	// Unreadable is how many tasks could not be decrypted, so that they may match or not.
	Unreadable int `json:"unreadable,omitempty"`
	// NotSearched says what filters by contents leave out.
	NotSearched string `json:"not_searched,omitempty"`
}

// NotSearched is what filters by contents leave out where contents of tasks are hidden.
const NotSearched = "tasks whose arguments are hidden"

// ErrCursor reports a cursor that no page with the same filters has named.
var ErrCursor = errors.New("the cursor is not the next of an earlier page with the same filters")

// Bounds of the values in one page: one that is longer is read by itself, and a page ends
// once it has more than the second.
const (
	listValue = 64 << 10
	listBytes = 8 << 20
)

// listOrder is a view, which an index serves, read so that the newest come first.
type listOrder struct {
	view    queue.View
	reverse bool
	parked  bool // only the tasks of paused queues that no other view has
	limited bool // only the tasks that wait for a limit, likewise
}

// ordersOf returns the views that together hold the tasks of a status; nil: there is
// no such status. An empty one is any.
func ordersOf(status queue.Status) []listOrder {
	switch status {
	case "":
		return []listOrder{{view: queue.ViewAll}}
	case queue.StatusReady:
		return []listOrder{{view: queue.ViewDelayed, reverse: true}, {view: queue.ViewPending, reverse: true}, {view: queue.ViewAll, parked: true}, {view: queue.ViewAll, limited: true}}
	case queue.StatusRunning:
		return []listOrder{{view: queue.ViewRunning, reverse: true}}
	case queue.StatusSuccessful:
		return []listOrder{{view: queue.ViewSuccessful}}
	case queue.StatusFailed:
		return []listOrder{{view: queue.ViewFailed}}
	case queue.StatusCancelled:
		return []listOrder{{view: queue.ViewCancelled}}
	}
	return nil
}

// name is what a cursor in the view begins with.
func (o listOrder) name() string {
	if o.limited {
		return "limited"
	}
	return string(o.view)
}

// List lists a page of tasks across the views of a status. A page is short if its values
// are large.
func List(ctx context.Context, client *queue.Client, r ListRequest) (answer ListAnswer, err error) {
	answer.Results = []*queue.Row{}
	if r.ByContents() && r.Hidden != nil {
		answer.NotSearched = NotSearched
	}
	order, after, err := startAt(ordersOf(r.Status), r.Cursor)
	if err != nil {
		return answer, err
	}
	several := len(ordersOf(r.Status)) > 1
	if order, err = withoutAside(ctx, client, order, after); err != nil {
		return answer, err
	}
	left := listBytes
	for i, o := range order {
		page, err := listView(ctx, client, o, after, &r, &left)
		if err != nil {
			return answer, err
		}
		after = ""
		answer.Results = append(answer.Results, page.Rows...)
		answer.Unreadable += page.Unreadable
		answer.Searched += page.Searched
		next, more := o.name(), page.Next != ""
		if !more && (len(answer.Results) == r.Limit || left <= 0) && i+1 < len(order) {
			next, more = order[i+1].name(), true
		}
		if more {
			answer.Next, answer.Partial = page.Next, page.Partial
			if several {
				answer.Next = next + "." + page.Next
			}
			break
		}
		r.Limit -= len(page.Rows)
	}
	if !answer.Partial {
		answer.Searched = 0
	}
	return answer, nil
}

// listView lists what one view has, with return values and errors.
func listView(ctx context.Context, client *queue.Client, o listOrder, after string, r *ListRequest, left *int) (queue.ListPage, error) {
	request := queue.ListRequest{Selection: r.Selection, Reverse: o.reverse, After: after, Limit: r.Limit, Values: listValue, Budget: r.Budget}
	request.View, request.Parked, request.Limited = o.view, o.parked, o.limited
	page, err := client.List(ctx, request)
	if err != nil {
		return page, err
	}
	for i, row := range page.Rows {
		whole, err := complete(ctx, client, row)
		if err != nil {
			return page, err
		}
		page.Rows[i] = whole
		if *left -= size(whole); *left <= 0 && i+1 < len(page.Rows) {
			page.Rows, page.Partial = page.Rows[:i+1], false
			page.Next = queue.CursorOf(o.view, row).String()
			break
		}
	}
	return page, nil
}

// complete returns a listed row with the values that were too long for the list.
func complete(ctx context.Context, client *queue.Client, row *queue.Row) (*queue.Row, error) {
	hasResult := row.Status != queue.StatusSuccessful || len(row.ReturnValue) > 0
	if hasResult && (row.ErrorText == "" || len(row.Errors) > 0) {
		return row, nil
	}
	whole, err := client.Get(ctx, row.ID)
	if errors.Is(err, queue.ErrNotFound) { // it was deleted just now
		return row, nil
	}
	if err == nil {
		whole.Checkpoint = row.Checkpoint // lists have none
	}
	return whole, err
}

// size is about how many bytes a row adds to an answer.
func size(row *queue.Row) int {
	n := 1000 + len(row.ReturnValue)
	for _, e := range row.Errors {
		n += len(e.Message) + len(e.Traceback)
	}
	return n
}

// withoutAside leaves out the views of tasks that are parked or wait for a limit, which
// have to be searched for, where there can be none. The first view is kept if a cursor is
// in it.
func withoutAside(ctx context.Context, client *queue.Client, order []listOrder, after string) ([]listOrder, error) {
	if !slices.ContainsFunc(order, func(o listOrder) bool { return o.parked || o.limited }) {
		return order, nil
	}
	gates, err := client.Gates(ctx)
	if errors.Is(err, queue.ErrUnsupported) {
		gates, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	// Tasks may wait for a limit that was removed just now.
	n, err := client.CountMatching(ctx, queue.ActionCancel, queue.Selection{Limited: true}, 1)
	kept := order[:0:0]
	for i, o := range order {
		if i == 0 && after != "" || (!o.parked || len(gates) > 0) && (!o.limited || n > 0) {
			kept = append(kept, o)
		}
	}
	return kept, err
}

// startAt returns the views that are left at a cursor, and where the first of them
// starts. With several views the cursor begins with the name of one.
func startAt(order []listOrder, cursor string) (rest []listOrder, after string, err error) {
	if rest, after = order, cursor; cursor == "" {
		return rest, "", nil
	}
	if len(order) > 1 {
		view, in, _ := strings.Cut(cursor, ".")
		for len(rest) > 0 && rest[0].name() != view {
			rest = rest[1:]
		}
		after = in
	}
	if _, err := queue.ParseCursor(after); len(rest) == 0 || after != "" && err != nil {
		return nil, "", ErrCursor
	}
	return rest, after, nil
}
