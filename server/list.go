package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

type listCmd struct {
	filterFlags
	Status *string  `placeholder:"STATUS" help:"Only tasks of this status: READY, RUNNING, SUCCESSFUL, FAILED or CANCELLED."`
	ID     []string `name:"id" placeholder:"UUID" help:"Only the tasks with these IDs, or with IDs that begin so; repeatable, or separated by commas."`
	Limit  int      `default:"50" accepts:"from 1 to 1000" help:"How many tasks to print, up to 1000."`
	Cursor string   `placeholder:"NEXT" help:"Continue after an earlier page, which names this value."`
	JSON   bool     `name:"json" help:"Print one JSON object a line."`
}

// Help describes the order, and shows examples.
func (*listCmd) Help() string {
	return `Newest first: without --status by ID, else by when tasks ended, are due, or were
claimed. --args and --text search for ten seconds, newest first, and name the
--cursor to go on with. Arguments are in the admin pages.

Examples:
  {name} list --status FAILED --since 24h
  {name} list --args user_id=4711 --args plan=pro
  {name} list --task '*.send' --text 'no route to host' --json`
}

// listBudget is how long one page searches for contents.
const listBudget = 10 * time.Second

// Run prints one page.
func (c *listCmd) Run(ctx context.Context, p *program) error {
	request, err := c.read(p)
	if err != nil {
		return err
	}
	app, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer app.close()
	page, err := api.List(ctx, app.client, request)
	if errors.Is(err, api.ErrCursor) {
		err = config.Problemf("--cursor", "must be what an earlier page with the same filters named, not %.80q", c.Cursor)
	}
	if err != nil {
		return p.inJSON(c.JSON, refused(err))
	}
	p.nameDatabase(c.JSON)
	if err := c.print(p, page.Results); err != nil {
		return err
	}
	p.saySearched(page.NotSearched != "", page.Unreadable)
	if page.Next != "" {
		searched := ""
		if page.Partial {
			searched = fmt.Sprintf("%d tasks were searched; ", max(page.Searched, queue.ListWindow))
		}
		p.say("%smore with --cursor %s", searched, page.Next)
	}
	return nil
}

// saySearched says what filters by contents have left out.
func (p *program) saySearched(hidden bool, unreadable int) {
	if hidden {
		p.say("%s (ADMIN_REDACT) were not searched", api.NotSearched)
	}
	if unreadable > 0 {
		p.say("warning: %s could not be decrypted and may match: run this with their keys (TASKS_ENCRYPTION_KEYS)", tasks(unreadable))
	}
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

// read checks the flags.
func (c *listCmd) read(p *program) (r api.ListRequest, err error) {
	r = api.ListRequest{Cursor: c.Cursor, Limit: c.Limit, Budget: listBudget}
	if r.Selection, err = c.selection(p, time.Now()); err != nil {
		return r, err
	}
	if err := within("--limit", c.Limit, 1, api.MaxListLimit); err != nil {
		return r, err
	}
	for _, text := range c.ID {
		if !api.AddID(&r.Selection, text) {
			return r, config.Problemf("--id", "takes IDs of tasks, such as 01890a5d-ac96-774b-bcce-b302099a8057, or their beginnings, not %.60q", text)
		}
	}
	if n := len(r.IDs) + len(r.IDPrefixes); n > api.MaxListIDs {
		return r, config.Problemf("--id", "takes at most %d IDs, not %d", api.MaxListIDs, n)
	}
	if c.Status != nil {
		var ok bool
		if r.Status, ok = api.ListStatus(*c.Status); !ok {
			return r, config.Problemf("--status", "must be READY, RUNNING, SUCCESSFUL, FAILED or CANCELLED, not %.40q", *c.Status)
		}
	}
	return r, nil
}

// shorten cuts a text that is longer than n characters.
func shorten(text string, n int) string {
	runes := []rune(text)
	if len(runes) <= n {
		return text
	}
	return string(runes[:n-1]) + "…"
}
