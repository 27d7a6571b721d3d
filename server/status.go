package server

import (
	"context"
	"fmt"

	"github.com/fatih/color"

	"github.com/claimcheck-go/claimcheck/queue"
)

type statusCmd struct {
	Queue   string `placeholder:"NAME" help:"Count only this queue. Default: all."`
	Backend string `default:"default" help:"Backend whose tasks are counted."`
	JSON    bool   `name:"json" help:"Print what the endpoint answers."`
}

// Run counts the tasks by state.
func (c *statusCmd) Run(ctx context.Context, p *program) error {
	if err := p.checkBackend(nil, c.Backend, c.JSON); err != nil {
		return err
	}
	app, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer app.close()
	stats, err := app.client.Stats(ctx, queue.Filter{Queue: c.Queue, Backend: c.Backend})
	if err != nil {
		return p.inJSON(c.JSON, err)
	}
	if c.JSON {
		return p.printJSON(stats)
	}
	p.nameDatabase(false)
	t := p.newTable()
	for _, line := range []struct {
		name  string
		value any
		alarm color.Attribute // of a figure that is not 0
	}{
		{"pending", stats.Pending, 0}, {"delayed", stats.Delayed, 0}, {"running", stats.Running, color.FgCyan},
		{"stranded", stats.Stranded, color.FgYellow}, {"oldest stranded since", when(stats.OldestStrandedSince), color.FgYellow},
		{"successful", stats.Successful, color.FgGreen}, {"failed", stats.Failed, color.FgRed}, {"cancelled", stats.Cancelled, 0},
		{"oldest pending since", when(stats.OldestPendingSince), 0}, {"newest pending since", when(stats.NewestPendingSince), 0},
	} {
		value := plain(fmt.Sprint(line.value))
		if line.alarm != 0 && line.value != 0 {
			value.attributes = []color.Attribute{line.alarm}
		}
		if value.text != "" {
			t.row(plain(line.name), value)
		}
	}
	p.rowsOfWaits(ctx, app.client, c.Queue, t)
	return t.print(p.stdout)
}
