package queue

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// CountRequest requests how many rows a bulk action would change.
type CountRequest struct {
	Action Action
	Selection
	After string // as in [ActRequest]
	Limit int    // counting stops there
	// Budget is how long rows are searched for by contents; 0: until all have been searched.
	Budget time.Duration
}

// CountResult is how many rows a bulk action would change.
type CountResult struct {
	Count int
	// More reports that the time was over before all rows were searched by contents, and
	// Unreadable is as in [ActionResult].
	More       bool
	Unreadable int
}

// CountMatching is [Client.Count] of a selection with all the time that it takes.
func (c *Client) CountMatching(ctx context.Context, a Action, s Selection, limit int) (int, error) {
	counted, err := c.Count(ctx, CountRequest{Action: a, Selection: s, Limit: limit})
	return counted.Count, err
}

// Count counts the rows that an action would change, up to r.Limit: for ActionRun
// without those of paused queues, and those that wait for a limit, as in [Client.Act]. It changes
// nothing: a row that has expired, and holds the key of a FAILED one until [Client.Act] cancels
// it, does not keep that one from being counted for ActionRetry. [ErrUnsupported] if the store
// is no [Operator].
func (c *Client) Count(ctx context.Context, r CountRequest) (result CountResult, err error) {
	if _, err := c.Operator(); err != nil {
		return result, err
	}
	if r.Action == ActionRun {
		if r.Selection, _, err = c.exceptPaused(ctx, r.Selection); err != nil {
			return result, err
		}
		r.ExceptLimited = c.limiter() != nil
	}
	if r.ByContents() {
		return c.countFound(ctx, r)
	}
	return c.countPlain(ctx, r)
}

// countPlain counts rows that the store can count.
func (c *Client) countPlain(ctx context.Context, r CountRequest) (result CountResult, err error) {
	store, err := c.Operator()
	if err != nil {
		return result, err
	}
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		result.Count, err = store.CountMatching(ctx, r.Action, r.Selection, time.Time{}, r.Limit)
		return err
	})
	c.availability.observeRead(err)
	return result, err
}

// countFound counts rows that a search finds.
func (c *Client) countFound(ctx context.Context, r CountRequest) (result CountResult, err error) {
	began := time.Now()
	f := found{client: c, selection: r.Selection, next: r.After, limit: countBatch}
	for !f.ended && !result.More && result.Count < r.Limit {
		batch, err := f.batch(ctx, r.Budget)
		if err != nil {
			return result, err
		}
		result.More = !f.ended && r.Budget > 0 && time.Since(began) >= r.Budget
		if len(batch.IDs) == 0 {
			continue
		}
		n, err := c.countPlain(ctx, CountRequest{Action: r.Action, Selection: batch, Limit: r.Limit - result.Count})
		if err != nil {
			return result, err
		}
		result.Count += n.Count
	}
	result.Unreadable = f.unreadable
	return result, nil
}

// countBatch is how many rows are searched for at once to be counted.
const countBatch = 1000

// found finds the rows of a selection by contents that an action may be for.
type found struct {
	client     *Client
	selection  Selection
	next       string // where the search goes on
	limit      int    // rows in a batch
	ended      bool   // all rows have been searched
	unreadable int
}

// batch returns a selection of the next rows, by their IDs. It may have none before the
// search has ended.
func (f *found) batch(ctx context.Context, budget time.Duration) (Selection, error) {
	r := ListRequest{Selection: f.selection, After: f.next, Limit: f.limit, Budget: budget}
	r.ExceptQueues, r.ExceptLimited = nil, false // the action counts these
	page, err := f.client.List(ctx, r)
	if err != nil {
		return Selection{}, err
	}
	f.unreadable += page.Unreadable
	f.next, f.ended = page.Next, page.Next == ""
	s := f.selection
	s.Args, s.Text, s.IDs, s.IDPrefixes = nil, "", make([]uuid.UUID, len(page.Rows)), nil
	for i, row := range page.Rows {
		s.IDs[i] = row.ID
	}
	return s, nil
}

// applyFound applies the action to rows that it finds by their contents, batch by batch,
// in the order of the list.
func (a *bulkAction) applyFound(ctx context.Context, progress func(done int)) error {
	f := found{client: a.client, selection: a.request.Selection, next: a.request.After}
	for !f.ended && (a.request.Limit == 0 || a.result.Done < a.request.Limit) {
		a.result.Next = f.next
		if ctx.Err() != nil {
			a.result.More = true
			return nil //nolint:nilerr // More reports it
		}
		f.limit = actBatch
		if a.request.Limit > 0 {
			f.limit = min(actBatch, a.request.Limit-a.result.Done)
		}
		selection, err := f.batch(ctx, defaultBudget)
		a.result.Unreadable = f.unreadable
		if err != nil {
			a.result.More = true
			if ctx.Err() != nil {
				return nil //nolint:nilerr // More reports it
			}
			return err
		}
		if len(selection.IDs) == 0 {
			continue
		}
		part := &bulkAction{client: a.client, store: a.store, request: a.request, paused: a.paused, before: a.before}
		part.request.Selection, part.request.Limit = selection, 0
		err = part.apply(ctx, nil)
		a.result.add(part.result)
		if progress != nil {
			progress(a.result.Done)
		}
		if err != nil || part.result.More {
			a.result.More = true
			return err
		}
	}
	a.result.Next = ""
	return nil
}

// add adds what a part of an action did.
func (r *ActionResult) add(part ActionResult) {
	r.Done += part.Done
	r.Undispatched += part.Undispatched
	r.Locked += part.Locked
	r.Taken += part.Taken
	r.Dropped += part.Dropped
	r.Paused += part.Paused
	r.Limited += part.Limited
	for name := range strings.SplitSeq(part.PausedQueues, ", ") {
		if !slices.Contains(strings.Split(r.PausedQueues, ", "), name) {
			r.PausedQueues = strings.TrimPrefix(r.PausedQueues+", "+name, ", ")
		}
	}
	if r.LimitedBy == "" {
		r.LimitedBy = part.LimitedBy
	}
}
