package queue

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"
)

// View selects rows for a list, and orders them.
type View string

// The views. Each is served by an index in its order.
const (
	ViewAll        View = "all"        // the latest IDs first
	ViewPending    View = "pending"    // READY and claimable, in the order of claims
	ViewDelayed    View = "delayed"    // READY and not due, the next one first
	ViewRunning    View = "running"    // the lease that expires next first
	ViewSuccessful View = "successful" // the one that ended last first
	ViewFailed     View = "failed"     // likewise
	ViewCancelled  View = "cancelled"  // likewise
)

// Views returns the views in the order of the admin pages. The slice is the caller's.
func Views() []View {
	return []View{ViewAll, ViewPending, ViewDelayed, ViewRunning, ViewFailed, ViewSuccessful, ViewCancelled}
}

// Selection selects rows; an empty field selects all.
type Selection struct {
	IDs      []uuid.UUID // at most 1000
	View     View        // empty: ViewAll
	Queue    string
	Backend  string
	Task     string // the whole name, or its beginning and a *
	Priority *int
	// Enqueued at or after Since, and before Until.
	Since, Until time.Time
	Group        string // AttemptError.Group of the last error
	Error        string // part of the last error's type or text, ignoring case
	Stranded     bool   // READY, and past DispatchDueAt, unless its queue is paused
	Parked       bool   // as Row.Parked; such rows are in no view but ViewAll
	Limited      bool   // READY, and found to be over a limit ([Limiter]); such rows are in no view but ViewAll
	// Rows that are left out: those of queues, and those that Limited selects.
	ExceptQueues  []string
	ExceptLimited bool
}

// Check returns [ErrInvalid] for a selection that no store understands. Stores call
// it.
func (s *Selection) Check() error {
	if s.View == "" {
		s.View = ViewAll
	}
	switch {
	case !slices.Contains(Views(), s.View):
		return invalidf("view %.40q is not known; known: %v", s.View, Views())
	case len(s.IDs) > 1000:
		return invalidf("at most 1000 IDs are accepted, not %d", len(s.IDs))
	}
	return nil
}

// ListRequest requests one page of a list.
type ListRequest struct {
	Selection
	Reverse bool   // reverses the view's order
	After   string // ListPage.Next of the page before; empty: from the start
	Limit   int    // rows in the page: 1 to 1000
}

// Check returns [ErrInvalid] for what no store can do. Stores call it.
func (r *ListRequest) Check() error {
	if r.Limit < 1 || r.Limit > 1000 {
		return invalidf("limit must be from 1 to 1000, not %d", r.Limit)
	}
	return r.Selection.Check()
}

// ListPage is a page of rows, without their Args, ReturnValue and Errors.
type ListPage struct {
	Rows []*Row
	Next string // After of the next page; empty: there is none
	// Partial says that the page ends because [ListWindow] rows were read.
	Partial bool
}

// Cursor is a position in the order of a [View]: the key of a row. Stores share its
// form in ListRequest.After and ListPage.Next; callers pass it on unread.
type Cursor struct {
	ID       uuid.UUID
	At       time.Time // EnqueuedAt of pending rows, otherwise the time that the view is sorted by
	Priority int       // of pending rows
}

// String returns the form that [ParseCursor] reads.
func (c Cursor) String() string {
	data, _ := json.Marshal([]any{c.ID, c.At.UnixMicro(), c.Priority}) // it cannot fail
	return base64.RawURLEncoding.EncodeToString(data)
}

// ParseCursor reads a [Cursor]; anything else is [ErrInvalid].
func ParseCursor(s string) (c Cursor, err error) {
	var micros int64
	data, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(data, &[]any{&c.ID, &micros, &c.Priority})
	}
	if err != nil {
		return Cursor{}, invalidf("after must be the next of an earlier page, not %.80q", s)
	}
	c.At = time.UnixMicro(micros).UTC()
	return c, nil
}

// CursorOf returns the position of a row in a view's order.
func CursorOf(view View, row *Row) Cursor {
	c := Cursor{ID: row.ID}
	switch view {
	case ViewPending:
		c.At, c.Priority = row.EnqueuedAt, row.Priority
	case ViewDelayed:
		if c.At = row.RetryAt; c.At.IsZero() {
			c.At = row.RunAfter
		}
	case ViewRunning:
		c.At = row.LeaseExpiresAt
	case ViewSuccessful, ViewFailed, ViewCancelled:
		c.At = row.FinishedAt
	}
	return c
}
