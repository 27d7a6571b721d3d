package server

import (
	"context"
	"fmt"
	"time"

	"github.com/fatih/color"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

type auditCmd struct {
	Since  *string `placeholder:"TIME" help:"Only entries made at or after this time (RFC 3339), or at most this long ago (90m, 12h, 7d)."`
	Until  *string `placeholder:"TIME" help:"Only entries made before this time."`
	Limit  *int    `placeholder:"N" accepts:"of at least 1" help:"How many entries, the latest first. Default: all with --json, else 50."`
	Cursor string  `placeholder:"NEXT" help:"Continue after an earlier call, which names this value."`
	JSON   bool    `name:"json" help:"Print one JSON object a line."`
}

// Help says what is in the log, and shows examples.
func (*auditCmd) Help() string {
	return `Who did what, when, on what, with what result: actions on the pages, by commands and
by the HTTP API. The latest entries come first.

Examples:
  {name} audit
  {name} audit --since 7d --json >audit.jsonl`
}

// auditPageSize is how many entries are read at a time, and shown by default.
const (
	auditPageSize  = 1000
	auditShownSize = 50
)

// Run prints the entries, a page at a time.
func (c *auditCmd) Run(ctx context.Context, p *program) error {
	request, left, err := c.read(time.Now())
	if err != nil {
		return err
	}
	app, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer app.close()
	table := p.newTable()
	table.head("TIME", "WHO", "ACTION", "ON", "CHANGED", "NOT CHANGED", "TASK")
	for first := true; left > 0; first = false {
		request.Limit = min(left, auditPageSize)
		page, err := app.client.ReadAudit(ctx, request)
		if err != nil {
			return p.inJSON(c.JSON, refused(err))
		}
		if first {
			p.nameDatabase(c.JSON)
		}
		for _, e := range page.Entries {
			if err := c.print(p, table, e); err != nil {
				return err
			}
		}
		left -= len(page.Entries)
		if request.After = page.Next; request.After == "" {
			break
		}
	}
	if !c.JSON {
		err = table.print(p.stdout)
	}
	if request.After != "" {
		p.say("more with --cursor %s", request.After)
	}
	return err
}

// read checks the flags.
func (c *auditCmd) read(now time.Time) (r queue.AuditRequest, limit int, err error) {
	limit = auditShownSize
	switch {
	case c.Limit != nil && *c.Limit < 1:
		return r, 0, config.Problemf("--limit", "must be at least 1, not %d", *c.Limit)
	case c.Limit != nil:
		limit = *c.Limit
	case c.JSON:
		limit = int(^uint(0) >> 1)
	}
	if _, err := queue.ParseCursor(c.Cursor); err != nil && c.Cursor != "" {
		return r, 0, config.Problemf("--cursor", "must be what an earlier call named, not %.80q", c.Cursor)
	}
	r.After = c.Cursor
	if r.Since, err = filterTime("--since", c.Since, now); err == nil {
		r.Until, err = filterTime("--until", c.Until, now)
	}
	return r, limit, err
}

// print prints an entry, or adds it to the table.
func (c *auditCmd) print(p *program, t *table, e queue.AuditEntry) error {
	body := api.NewAuditBody(e)
	if c.JSON {
		return p.printJSON(body)
	}
	task := ""
	if body.Task != nil {
		task = body.Task.String()
	}
	done := plain(fmt.Sprint(e.Done))
	if !e.Ended {
		done = coloured(fmt.Sprint(e.Done)+", not to the end", color.FgYellow)
	}
	t.row(plain(when(e.At)), plain(e.Actor), plain(e.Action), plain(shorten(e.Target, 60)), done, plain(fmt.Sprint(e.Failed)), plain(task))
	return nil
}
