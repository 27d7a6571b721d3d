package queue

import (
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

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

// Check refuses what no store can do.
func (r *ListRequest) Check() error {
	if r.Limit < 1 || r.Limit > 1000 {
		return invalidf("limit must be from 1 to 1000, not %d", r.Limit)
	}
	return r.Selection.Check()
}

// Check refuses a selection that no store understands.
func (s *Selection) Check() error {
	if s.View == "" {
		s.View = ViewAll
	}
	known := false
	for _, view := range Views {
		known = known || view == s.View
	}
	switch {
	case !known:
		return invalidf("view %.40q is not known", s.View)
	case len(s.IDs) > 1000:
		return invalidf("at most 1000 IDs are accepted, not %d", len(s.IDs))
	}
	return nil
}
