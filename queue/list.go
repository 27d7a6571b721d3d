package queue

import (
	"encoding/base64"
	"encoding/json"
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

// ListRequest requests one page of a list.
type ListRequest struct {
	Selection
	Reverse bool   // reverses the view's order
	After   string // ListPage.Next of the page before; empty: from the start
	Limit   int    // rows in the page: 1 to 1000
	// Values is how many characters of JSON Args, ReturnValue and Errors of a listed row may
	// have: longer ones are left out, and with 0 all of them.
	Values int
	// Window is how many rows are read at most, if the selection requires a search; 0:
	// ListWindow.
	Window int
	// Match, which is only for a selection by contents ([Selection.ByContents]), reports
	// whether a row is in the list. A store calls it, in the order of the list, for every row
	// for which [Selection.MatchesContents] may hold, with all of its values, encrypted as
	// they are stored. nil: [Selection.MatchesContents]. It must not call the store.
	Match func(*Row) bool
	// Budget is for [Client.List] only, which searches further windows until the page is
	// full, or that time is over; 0: one window.
	Budget time.Duration
}

// Check returns [ErrInvalid] for what no store can do. Stores call it.
func (r *ListRequest) Check() error {
	if r.Limit < 1 || r.Limit > 1000 {
		return invalidf("limit must be from 1 to 1000, not %d", r.Limit)
	}
	if r.Window < 0 || r.Window > ListWindow {
		return invalidf("ListRequest.Window must be from 0 to %d, not %d", ListWindow, r.Window)
	}
	if r.Values != 0 && r.Values < ArgsBeginning {
		return invalidf("ListRequest.Values must be 0 or at least %d, not %d", ArgsBeginning, r.Values)
	}
	if r.Window == 0 {
		r.Window = ListWindow
	}
	return r.Selection.Check()
}

// Matches reports whether a row for which all else holds has the contents that are
// searched for. Stores call it.
func (r *ListRequest) Matches(row *Row) bool {
	if r.Match != nil {
		return r.Match(row)
	}
	return r.MatchesContents(row)
}

// ListPage is a page of rows, without their Args, ReturnValue and Errors, except as
// [ListRequest].Values says.
type ListPage struct {
	Rows []*Row
	Next string // After of the next page; empty: there is none
	// Partial says that the page ends because the rows of a window were read, or because
	// [ListRequest].Budget was spent.
	Partial bool
	// Beginnings are the first [ArgsBeginning] characters of Args that are longer than
	// [ListRequest].Values and not encrypted, by the ID of their row.
	Beginnings map[uuid.UUID]string

	// Searched is how many rows [Client.List] has searched, if Partial, and Unreadable how many of them
	// could not be decrypted, so that it is not known whether they match.
	Searched, Unreadable int
}

// ArgsBeginning is how many characters of long arguments a list has.
const ArgsBeginning = 200

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
