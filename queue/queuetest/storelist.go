package queuetest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// List returns a page of rows. It searches all rows, so that no page is partial.
func (s *Store) List(ctx context.Context, r queue.ListRequest) (queue.ListPage, error) {
	return s.ListTx(ctx, nil, r)
}

// ListTx is List as a part of a transaction.
func (s *Store) ListTx(ctx context.Context, t queue.Tx, r queue.ListRequest) (page queue.ListPage, err error) {
	if err := r.Check(); err != nil {
		return page, err
	}
	var after queue.Cursor
	if r.After != "" {
		if after, err = queue.ParseCursor(r.After); err != nil {
			return page, err
		}
	}
	order := func(a, b queue.Cursor) int {
		if r.Reverse {
			a, b = b, a
		}
		return inViewOrder(r.View, a, b)
	}
	err = s.withOrIn(ctx, "list tasks", t, func(now time.Time) error {
		position := func(r2 *row) queue.Cursor { return queue.CursorOf(r.View, &r2.Row) }
		found := s.find(r.Limit+1, func(a, b *row) int { return order(position(a), position(b)) }, func(row *row) bool {
			return row.isIn(r.View) && s.selects(&r.Selection, row, now) && (r.After == "" || order(after, position(row)) < 0) &&
				(!r.ByContents() || r.Matches(row.copied()))
		})
		for _, row := range found[:min(r.Limit, len(found))] {
			page.Rows = append(page.Rows, row.listed(&r, &page))
		}
		if len(found) > r.Limit {
			page.Next = position(found[r.Limit-1]).String()
		}
		return nil
	})
	return page, err
}

// listed returns a row of a page, with the values that are requested.
func (r *row) listed(request *queue.ListRequest, page *queue.ListPage) *queue.Row {
	whole, listed := r.copied(), r.light()
	short := func(value []byte) bool { return utf8.RuneCount(value) <= request.Values }
	if request.Values == 0 {
		return listed
	}
	if short(whole.Args) {
		listed.Args = whole.Args
	} else if whole.KeyID == "" {
		if page.Beginnings == nil {
			page.Beginnings = make(map[uuid.UUID]string)
		}
		page.Beginnings[r.ID] = string([]rune(string(whole.Args))[:queue.ArgsBeginning])
	}
	if short(whole.ReturnValue) {
		listed.ReturnValue = whole.ReturnValue
	}
	if history, err := json.Marshal(whole.Errors); err == nil && short(history) {
		listed.Errors = whole.Errors
	}
	return listed
}

// isIn reports whether a row is in a view.
func (r *row) isIn(view queue.View) bool {
	switch view {
	case queue.ViewPending:
		return r.Status == queue.StatusReady && r.hold == free
	case queue.ViewDelayed:
		return r.Status == queue.StatusReady && r.hold == delayed
	case queue.ViewAll, "":
		return true
	}
	return string(r.Status) == strings.ToUpper(string(view))
}

// inViewOrder compares two positions in a view.
func inViewOrder(view queue.View, a, b queue.Cursor) int {
	byID := bytes.Compare(a.ID[:], b.ID[:])
	switch view {
	case queue.ViewPending:
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), a.At.Compare(b.At), byID)
	case queue.ViewDelayed, queue.ViewRunning:
		return cmp.Or(a.At.Compare(b.At), byID)
	case queue.ViewSuccessful, queue.ViewFailed, queue.ViewCancelled:
		return cmp.Or(b.At.Compare(a.At), -byID)
	default:
		return -byID
	}
}

// selects reports whether a row is selected, whatever the view.
func (s *Store) selects(c *queue.Selection, r *row, now time.Time) bool {
	ready := r.Status == queue.StatusReady
	for _, excluded := range []bool{
		!c.HasID(r.ID),
		c.MemberOf != uuid.Nil && c.MemberOf != r.Group,
		c.Queue != "" && c.Queue != r.Queue,
		c.Backend != "" && c.Backend != r.Backend,
		!c.HasTask(r.Task),
		c.Priority != nil && *c.Priority != r.Priority,
		!c.Since.IsZero() && r.EnqueuedAt.Before(c.Since),
		!c.Until.IsZero() && !r.EnqueuedAt.Before(c.Until),
		c.Group != "" && c.Group != r.ErrorGroup,
		c.Error != "" && !strings.Contains(strings.ToLower(r.ErrorText), strings.ToLower(c.Error)),
		c.Stranded && !s.isStranded(r, now),
		c.Parked && (!ready || r.hold != parked),
		c.Limited && (!ready || r.hold < limited),
		c.ExceptLimited && ready && r.hold >= limited,
		slices.Contains(c.ExceptQueues, r.Queue),
		slices.Contains(c.ExceptTasks, r.Task),
	} {
		if excluded {
			return false
		}
	}
	return true
}

func (s *Store) isStranded(r *row, now time.Time) bool {
	return r.Status == queue.StatusReady && !r.DispatchDueAt.After(now) && !s.isPaused(r.Queue)
}
