package admin

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// rowRefreshes read the rows whose lease ends first and some of the stranded ones, if
// there are any.
func (c *statsCache) rowRefreshes(ctx context.Context) (list []refresh) {
	var t totals
	for _, q := range c.counted.value.Queues {
		t.Stranded, t.Running, t.Pending = t.Stranded+q.Stranded, t.Running+q.Running, t.Pending+q.Pending
	}
	add := func(p *part[[]*queue.Row], needed bool, cost int, ask func() ([]*queue.Row, error)) {
		e := newRefresh(p, keepRows, cost, ask)
		if !needed {
			e.drop()
			return
		}
		list = append(list, e)
	}
	quiet := !c.counted.at.IsZero() && len(c.counted.value.Queues)+len(c.counted.value.Failures) == 0
	if e := newRefresh(&c.stored, keepRows, 1, func() (bool, error) {
		page, err := c.operator.List(ctx, queue.ListRequest{Limit: 1})
		return len(page.Rows) > 0, err
	}); quiet {
		list = append(list, e)
	} else {
		e.drop()
	}
	add(&c.claimed, t.Running > 0, 1, func() ([]*queue.Row, error) {
		page, err := c.operator.List(ctx, queue.ListRequest{Selection: queue.Selection{View: queue.ViewRunning}, Limit: statsRows})
		return page.Rows, err
	})
	add(&c.pending, t.Stranded > 0 && t.Pending > 0, 2, func() ([]*queue.Row, error) { return c.stranded(ctx, queue.ViewPending) })
	add(&c.delayed, t.Stranded > 0, 2, func() ([]*queue.Row, error) { return c.stranded(ctx, queue.ViewDelayed) })
	// A name that nothing here registers may be behind all that were read.
	searched := !c.pending.at.IsZero() && t.Stranded > len(c.pending.value)+len(c.delayed.value)
	add(&c.strangers, searched && t.Pending > 0 && len(c.names) > 0, 2, func() ([]*queue.Row, error) {
		return c.unknown.search(ctx, c.operator, c.names)
	})
	return list
}

// stranded searches a view for some stranded rows. If none is within the rows of one search,
// the next one continues from there.
func (c *statsCache) stranded(ctx context.Context, view queue.View) ([]*queue.Row, error) {
	from := c.from[view]
	page, err := c.operator.List(ctx, queue.ListRequest{Selection: queue.Selection{View: view, Stranded: true}, After: *from, Limit: statsRows})
	if err == nil && len(page.Rows) == 0 {
		*from = page.Next
	}
	return page.Rows, err
}

// unknownNames searches all stranded rows that are due for names that are not registered, some
// of them at a time, again and again.
type unknownNames struct {
	next          string       // where the search goes on
	found, before []*queue.Row // in this round, and in the one before
}

// search continues the search, and returns some rows of each name that was found in this round
// or the one before. A name is looked for until it is found, so that its other rows do not
// take up the time.
func (u *unknownNames) search(ctx context.Context, operator queue.Operator, registered []string) ([]*queue.Row, error) {
	except := slices.Clone(registered)
	for _, row := range u.found {
		if !slices.Contains(except, row.Task) {
			except = append(except, row.Task)
		}
	}
	page, err := operator.List(ctx, queue.ListRequest{
		Selection: queue.Selection{View: queue.ViewPending, Stranded: true, ExceptTasks: except}, After: u.next, Limit: statsRows,
	})
	if err != nil {
		return nil, err
	}
	u.found, u.next = append(u.found, page.Rows...), page.Next
	all := distinct(slices.Concat(u.found, u.before))
	if u.next == "" {
		u.found, u.before = nil, u.found
	}
	return all, nil
}

// distinct returns each of the rows once.
func distinct(rows []*queue.Row) []*queue.Row {
	known := make(map[uuid.UUID]bool, len(rows))
	return slices.DeleteFunc(rows, func(row *queue.Row) bool {
		again := known[row.ID]
		known[row.ID] = true
		return again
	})
}
