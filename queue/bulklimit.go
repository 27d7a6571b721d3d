package queue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// limitedError is the ErrLimited of an action on one row.
type limitedError struct {
	id  uuid.UUID
	why string // of the limits
}

func (e *limitedError) Error() string {
	return "task " + e.id.String() + " waits for " + e.why + ", so it is not run: it starts by itself when there is room; raising or removing the limit lets it start now"
}
func (*limitedError) Is(target error) bool { return target == ErrLimited }

// exceptLimited makes ActionRun skip the rows that wait for a limit: made due, they would
// be refused and wait again. One row that does is refused.
func (a *bulkAction) exceptLimited(ctx context.Context) error {
	if a.request.Action != ActionRun || a.client.limiter() == nil {
		return nil
	}
	if len(a.request.IDs) == 1 && !a.request.ByContents() {
		n, rows, err := a.limited(ctx, 1)
		if err != nil {
			return err
		}
		if n > 0 && len(rows) > 0 {
			why, err := a.client.limitsOf(ctx, rows, true)
			if err == nil {
				err = &limitedError{rows[0].ID, why}
			}
			return err
		}
	}
	a.request.ExceptLimited = true
	return nil
}

// admit lets rows start that wait for limits: those that were cancelled or deleted may
// have been RUNNING, or about to.
func (a *bulkAction) admit(ctx context.Context) {
	ends := a.request.Action == ActionCancel || a.request.Action == ActionDelete
	if ends && a.result.Done > 0 && a.client.limiter() != nil {
		a.client.admitAll(context.WithoutCancel(ctx))
	}
}

// limited counts the rows that wait for a limit and that ActionRun would have changed
// otherwise, up to limit, and returns some of them.
func (a *bulkAction) limited(ctx context.Context, limit int) (n int, rows []*Row, err error) {
	s := a.request.Selection
	s.Limited, s.ExceptLimited = true, false
	err = within(context.WithoutCancel(ctx), statementTimeout, func(ctx context.Context) error {
		if n, err = a.store.CountMatching(ctx, ActionRun, s, time.Time{}, limit); err != nil || n == 0 {
			return err
		}
		page, err := a.store.List(ctx, ListRequest{Selection: s, Limit: limitedNamed})
		rows = page.Rows
		return err
	})
	a.client.availability.observeRead(err)
	return n, rows, err
}

// limitedNamed is how many of the skipped rows are read to name their limits.
const limitedNamed = 20

// countLimited counts the rows that were skipped because they wait for a limit. If they
// cannot be counted, there are none.
func (a *bulkAction) countLimited(ctx context.Context) {
	if !a.request.ExceptLimited || a.result.More {
		return
	}
	n, rows, err := a.limited(ctx, lockedLimit)
	if err != nil || n == 0 {
		return
	}
	a.result.Limited = n
	a.result.LimitedBy, _ = a.client.limitsOf(ctx, rows, false)
}

// limitsOf names the limits that rows wait for: those that are reached, else all that
// concern them. why adds the reason of each.
func (c *Client) limitsOf(ctx context.Context, rows []*Row, why bool) (string, error) {
	var names []string
	for _, row := range rows {
		use, err := c.LimitUse(ctx, row)
		if err != nil {
			return "", err
		}
		reached := slices.ContainsFunc(use, func(u LimitUse) bool { return u.Reached() })
		for _, u := range use {
			if reached && !u.Reached() {
				continue
			}
			name := u.Subject(row.Task)
			if reason := u.Reason(); why && reason != "" {
				name += fmt.Sprintf(" (%s)", reason)
			}
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		if len(names) > 5 {
			break
		}
	}
	switch len(names) {
	case 0: // it was removed just now
		return "a limit that was removed", nil
	case 1:
		return "the limit of " + names[0], nil
	}
	return "the limits of " + strings.Join(names, ", "), nil
}
