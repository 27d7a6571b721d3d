package queue

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"
)

// View is which rows are listed, and in which order.
type View string

// The views. Each has an index that gives its rows in its order.
const (
	ViewAll        View = "all"        // the latest IDs first
	ViewPending    View = "pending"    // READY and claimable, in the order of claims
	ViewDelayed    View = "delayed"    // READY and not due, the next one first
	ViewRunning    View = "running"    // the lease that ends next first
	ViewSuccessful View = "successful" // the latest end first, and so the next two
	ViewFailed     View = "failed"
	ViewCancelled  View = "cancelled"
)

// Views returns the views in the order of the admin pages. The slice is the caller's.
func Views() []View {
	return []View{ViewAll, ViewPending, ViewDelayed, ViewRunning, ViewFailed, ViewSuccessful, ViewCancelled}
}

// Selection chooses rows; what is empty chooses all.
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
	Error        string // part of the last error's type or text, in any case
	Stranded     bool   // READY, and past DispatchDueAt
}

// Check refuses a selection that no store understands.
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

// ListRequest asks for a page.
type ListRequest struct {
	Selection
	Reverse bool   // the view's order the other way around
	After   string // ListPage.Next of the page before; empty: from the start
	Limit   int
}

// Check refuses what no store can do.
func (r *ListRequest) Check() error {
	if r.Limit < 1 || r.Limit > 1000 {
		return invalidf("limit must be from 1 to 1000, not %d", r.Limit)
	}
	return r.Selection.Check()
}

// ListPage is a page of rows without their Args, ReturnValue and Errors.
type ListPage struct {
	Rows []*Row
	Next string // After of the next page; empty: there is none
	// Partial says that the page ends because ListWindow rows were looked at.
	Partial bool
}

// Cursor is a place in a View's order: the key of a row. Stores share its form
// in ListRequest.After and ListPage.Next, which is opaque to everybody else.
type Cursor struct {
	ID       uuid.UUID
	At       time.Time // of pending rows EnqueuedAt, of others what the view goes by
	Priority int       // of pending rows
}

// String is what ParseCursor reads.
func (c Cursor) String() string {
	data, _ := json.Marshal([]any{c.ID, c.At.UnixMicro(), c.Priority}) // it cannot fail
	return base64.RawURLEncoding.EncodeToString(data)
}

// ParseCursor reads a Cursor; anything else is ErrInvalid.
func ParseCursor(s string) (c Cursor, err error) {
	var micros int64
	data, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(data, &[]any{&c.ID, &micros, &c.Priority})
	}
	if err != nil {
		return Cursor{}, invalidf("after must be what an earlier page gave as its next, not %.80q", s)
	}
	c.At = time.UnixMicro(micros).UTC()
	return c, nil
}

// CursorOf is the place of a row in a view's order.
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
