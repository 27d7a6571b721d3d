package server

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/claimcheck-go/claimcheck/queue"
)

type statusCmd struct {
	Queue   string `placeholder:"NAME" help:"Queue. Default: all."`
	Backend string `default:"default" help:"Backend."`
	JSON    bool   `name:"json" help:"Print what the endpoint answers."`
}

// Run prints the figures.
func (c *statusCmd) Run(ctx context.Context, p *program) error {
	if err := p.checkBackend(nil, c.Backend, c.JSON); err != nil {
		return err
	}
	app, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer app.close()
	figures, err := app.client.Stats(ctx, queue.Filter{Queue: c.Queue, Backend: c.Backend})
	if err != nil {
		return p.inJSON(c.JSON, err)
	}
	if c.JSON {
		return p.printJSON(figures)
	}
	p.nameDatabase(false)
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, line := range []struct {
		name  string
		value any
	}{
		{"pending", figures.Pending}, {"delayed", figures.Delayed}, {"running", figures.Running},
		{"stranded", figures.Stranded}, {"oldest stranded since", when(figures.OldestStrandedSince)},
		{"successful", figures.Successful}, {"failed", figures.Failed}, {"cancelled", figures.Cancelled},
		{"oldest pending since", when(figures.OldestPendingSince)}, {"newest pending since", when(figures.NewestPendingSince)},
	} {
		if line.value != "" {
			fmt.Fprintf(w, "%s\t%v\n", line.name, line.value)
		}
	}
	return w.Flush()
}
