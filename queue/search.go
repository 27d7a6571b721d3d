package queue

import (
	"cmp"
	"context"
	"errors"
	"math/bits"
	"time"
)

// firstWindow is how many rows the first statement of a search by contents reads: the time
// that it takes decides about the next ones, because rows may be large.
const firstWindow = 2048

// defaultBudget is that of a search by contents without [ListRequest].Budget.
const defaultBudget = time.Second

// List returns a page of rows. It is [Operator].List that also finds encrypted rows by
// their contents, and, within [ListRequest].Budget, searches more than one window. A page
// that is not full and not the last is Partial: the time was over, and Next goes on from
// there. Values of listed rows are decrypted as by [Client.Get]. [ErrUnsupported] if the
// store is no [Operator].
func (c *Client) List(ctx context.Context, r ListRequest) (ListPage, error) {
	store, err := c.Operator()
	if err != nil {
		return ListPage{}, err
	}
	if err := r.Check(); err != nil {
		return ListPage{}, err
	}
	r.Hidden = c.Registry().ByAnyName(r.Hidden)
	s := &search{client: c, store: store, request: r, budget: r.Budget, most: r.Window}
	if s.request.Match == nil && r.ByContents() {
		s.request.Match = func(row *Row) bool { return s.matches(ctx, row) }
		s.budget = cmp.Or(r.Budget, defaultBudget)
		s.request.Window = min(firstWindow, r.Window)
	}
	page, err := s.run(ctx)
	c.Reveal(ctx, page.Rows...)
	return page, err
}

// search is one List under way.
type search struct {
	client  *Client
	store   Operator
	request ListRequest
	budget  time.Duration
	most    int // rows in a window

	page       ListPage
	unreadable int // in the current window
}

// matches decrypts a row, and reports whether it has the contents that are searched for.
func (s *search) matches(ctx context.Context, row *Row) bool {
	if row.KeyID == "" {
		return s.request.MatchesContents(row)
	}
	opened := *row // the store still has the row, whose values it may drop or read again
	s.client.reveal(ctx, &opened)
	row.Unreadable = opened.Unreadable
	if s.request.MatchesContents(&opened) {
		return true
	}
	if opened.Unreadable != "" && !opened.ContentsHidden(s.request.Hidden) {
		s.unreadable++
	}
	return false
}

// run searches windows until the page is full, all rows have been searched or the time is
// over.
func (s *search) run(ctx context.Context) (ListPage, error) {
	began := time.Now()
	for {
		started := time.Now()
		found, err := s.window(ctx)
		over := time.Since(began) >= s.budget
		switch {
		case err == nil:
			if s.add(found); !found.Partial || over || len(s.page.Rows) == s.request.Limit {
				return s.page, nil
			}
			s.request.After = found.Next
			s.resize(time.Since(started))
		case ctx.Err() != nil || !errors.Is(err, ErrNoAnswer):
			return ListPage{}, err
		case over && s.page.Searched > 0:
			return s.page, nil
		case !s.narrow():
			return ListPage{}, err
		}
	}
}

// window searches one window.
func (s *search) window(ctx context.Context) (found ListPage, err error) {
	r := s.request
	r.Limit -= len(s.page.Rows)
	limit := statementTimeout
	if s.budget > 0 {
		limit = min(limit, max(s.budget/4, defaultBudget))
	}
	s.unreadable = 0
	err = within(ctx, limit, func(ctx context.Context) (err error) {
		found, err = s.store.List(ctx, r)
		return err
	})
	if limit == statementTimeout || !errors.Is(err, ErrNoAnswer) { // a short time says nothing about the database
		s.client.availability.observeRead(err)
	}
	return found, err
}

// add adds the rows of a window to the page.
func (s *search) add(found ListPage) {
	s.page.Rows = append(s.page.Rows, found.Rows...)
	s.page.Next, s.page.Partial = found.Next, found.Partial
	s.page.Unreadable += s.unreadable
	if found.Partial {
		s.page.Searched += s.request.Window
	}
	if s.page.Beginnings == nil {
		s.page.Beginnings = found.Beginnings
	}
	for id, text := range found.Beginnings {
		s.page.Beginnings[id] = text
	}
}

// narrow makes windows smaller after one that took too long, and reports whether that is
// possible.
func (s *search) narrow() bool {
	const narrowest = 20
	if !s.request.ByContents() || s.request.Window <= narrowest {
		return false
	}
	s.most = max(narrowest, s.request.Window/10)
	s.request.Window = s.most
	return true
}

// resize makes the next window one that takes a fraction of the budget, as far as the last
// one tells.
func (s *search) resize(took time.Duration) {
	if !s.request.ByContents() {
		return
	}
	want := s.budget / 8
	times := min(4, max(0.25, float64(want)/float64(max(took, time.Microsecond))))
	next := max(1, int(float64(s.request.Window)*times))
	s.request.Window = min(s.most, 1<<(bits.Len(uint(next))-1)) // a power of two: stores may prepare a statement for each size
}
