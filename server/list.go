package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

type listCmd struct {
	filterFlags
	Status *string  `placeholder:"STATUS" help:"Only tasks of this status: READY, RUNNING, SUCCESSFUL, FAILED or CANCELLED."`
	ID     []string `name:"id" placeholder:"UUID" help:"Only the tasks with these IDs; repeatable, or separated by commas."`
	Limit  int      `default:"50" accepts:"from 1 to 1000" help:"How many tasks to print, up to 1000."`
	Cursor string   `placeholder:"NEXT" help:"Continue after an earlier page, which names this value."`
	JSON   bool     `name:"json" help:"Print one JSON object a line."`
}

// Help describes the order, and shows examples.
func (*listCmd) Help() string {
	return `Newest first: without --status by ID, else by when tasks ended, are due, or were
claimed. Arguments, return values and error histories are in result.

Examples:
  {name} list --status FAILED --since 24h
  {name} list --task 'emails.*' --error timeout --json`
}

// The most that one page of a list holds, and the most IDs in one.
const maxListLimit, maxListIDs = 1000, 100

// Run prints one page.
func (c *listCmd) Run(ctx context.Context, p *program) error {
	selection, order, err := c.read(p)
	if err != nil {
		return err
	}
	app, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer app.close()
	tasks, err := app.client.Operator()
	if err != nil {
		return err
	}
	if order, err = withoutAside(ctx, app.client, order); err != nil {
		return p.inJSON(c.JSON, err)
	}
	page, err := listStatus(ctx, tasks, order, queue.ListRequest{Selection: selection, After: c.Cursor, Limit: c.Limit})
	if err != nil {
		return p.inJSON(c.JSON, refused(err))
	}
	p.nameDatabase(c.JSON)
	if err := c.print(p, page.Rows); err != nil {
		return err
	}
	if page.Next != "" {
		searched := ""
		if page.Partial {
			searched = fmt.Sprintf("%d tasks were searched; ", queue.ListWindow)
		}
		p.say("%smore with --cursor %s", searched, page.Next)
	}
	return nil
}

func (c *listCmd) print(p *program, rows []*queue.Row) error {
	if c.JSON {
		for _, row := range rows {
			if err := p.printJSON(row); err != nil {
				return err
			}
		}
		return nil
	}
	t := p.newTable()
	t.head("ID", "STATUS", "TASK", "QUEUE", "PRIORITY", "ATTEMPTS", "ENQUEUED", "LAST ERROR")
	for _, row := range rows {
		t.row(plain(row.ID.String()), statusCell(row.Status), plain(row.Task), plain(row.Queue), plain(fmt.Sprint(row.Priority)),
			plain(fmt.Sprintf("%d of %d", row.Attempts, row.MaxAttempts)), plain(when(row.EnqueuedAt)), plain(shorten(row.ErrorText, 80)))
	}
	return t.print(p.stdout)
}

// read checks the flags, and returns what is listed and the order of it.
func (c *listCmd) read(p *program) (s queue.Selection, order []listOrder, err error) {
	if s, err = c.selection(p, time.Now()); err != nil {
		return s, nil, err
	}
	if err := within("--limit", c.Limit, 1, maxListLimit); err != nil {
		return s, nil, err
	}
	for _, text := range c.ID {
		id, err := parseTaskID(strings.TrimSpace(text))
		if err != nil {
			return s, nil, config.Problemf("--id", ": %v", err)
		}
		s.IDs = append(s.IDs, id)
	}
	if len(s.IDs) > maxListIDs {
		return s, nil, config.Problemf("--id", "takes at most %d IDs, not %d", maxListIDs, len(s.IDs))
	}
	status := queue.Status("")
	if c.Status != nil {
		status = queue.Status(strings.ToUpper(*c.Status))
	}
	if order = ordersOf(status); order == nil || c.Status != nil && status == "" {
		return s, nil, config.Problemf("--status", "must be READY, RUNNING, SUCCESSFUL, FAILED or CANCELLED, not %.40q", *c.Status)
	}
	return s, order, nil
}

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

// withoutAside leaves out the views of tasks that are parked or wait for a limit, which
// have to be searched for, where there can be none.
func withoutAside(ctx context.Context, client *queue.Client, order []listOrder) ([]listOrder, error) {
	if !slices.ContainsFunc(order, func(o listOrder) bool { return o.parked || o.limited }) {
		return order, nil
	}
	gates, err := client.Gates(ctx)
	if err != nil {
		return nil, err
	}
	// Tasks may wait for a limit that was removed just now.
	n, err := client.CountMatching(ctx, queue.ActionCancel, queue.Selection{Limited: true}, 1)
	return slices.DeleteFunc(order, func(o listOrder) bool { return o.parked && len(gates) == 0 || o.limited && n == 0 }), err
}

// listStatus lists a page across the views of a status.
func listStatus(ctx context.Context, tasks queue.Operator, order []listOrder, r queue.ListRequest) (page queue.ListPage, err error) {
	named := len(order) > 1
	if order, r.After, err = startAt(order, r.After); err != nil {
		return page, err
	}
	for i, o := range order {
		r.View, r.Reverse, r.Parked, r.Limited = o.view, o.reverse, o.parked, o.limited
		part, err := tasks.List(ctx, r)
		if err != nil {
			return page, err
		}
		page.Rows = append(page.Rows, part.Rows...)
		r.Limit -= len(part.Rows)
		next, more := o.name(), part.Next != ""
		if !more && r.Limit == 0 && i+1 < len(order) {
			next, more = order[i+1].name(), true
		}
		if more {
			page.Next, page.Partial = part.Next, part.Partial
			if named {
				page.Next = next + "." + part.Next
			}
			return page, nil
		}
		r.After = ""
	}
	return page, nil
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
		return nil, "", config.Problemf("--cursor", "must be what an earlier page with the same filters named, not %.80q", cursor)
	}
	return rest, after, nil
}

// shorten cuts a text that is longer than n characters.
func shorten(text string, n int) string {
	runes := []rune(text)
	if len(runes) <= n {
		return text
	}
	return string(runes[:n-1]) + "…"
}
