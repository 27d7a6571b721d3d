package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

type requeueCmd struct {
	OlderThan   *age   `required:"" placeholder:"15m" help:"Only tasks claimed longer ago than this; a unit is required."`
	Queue       string `placeholder:"NAME" help:"Queue. Default: all."`
	Backend     string `placeholder:"NAME" help:"Backend. Default: all."`
	MaxAttempts *int   `placeholder:"N" accepts:"of at least 1" help:"Attempts after which a task is FAILED. Default: the task's own."`
	MarkFailed  bool   `help:"Make all of them FAILED, whatever attempts are left."`
	BatchSize   int    `default:"1000" accepts:"from 1 to 10000" help:"Tasks handled in one transaction, up to 10000."`
	DryRun      bool   `help:"Only count the tasks."`
	JSON        bool   `name:"json" help:"Print JSON."`
}

// age is a duration whose unit is required, even for 0.
type age time.Duration

// UnmarshalText reads a Go duration.
func (a *age) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil || parsed < 0 || strings.Trim(string(text), "+-0") == "" {
		if strings.Trim(string(text), "0123456789.+-") == "" {
			return fmt.Errorf("must be a duration such as 90s or 5m, not %q: the unit is required", text)
		}
		return fmt.Errorf("must be a duration such as 90s, 5m or 48h, not %q", text)
	}
	*a = age(parsed)
	return nil
}

// Help shows examples.
func (*requeueCmd) Help() string {
	return `Examples:
  {name} requeue --older-than 15m --dry-run
  {name} requeue --older-than 1h --mark-failed`
}

// Run recovers tasks whose lease has expired: back to READY, or FAILED where no
// attempt is left.
func (c *requeueCmd) Run(ctx context.Context, p *program) error {
	if err := within("--batch-size", c.BatchSize, 1, api.MaxBatch); err != nil {
		return err
	}
	maxAttempts := 0 // the row's own
	if c.MaxAttempts != nil {
		maxAttempts = *c.MaxAttempts
		if err := within("--max-attempts", maxAttempts, 1, queue.MaxAttemptsLimit); err != nil {
			return err
		}
	}
	if c.Backend != "" {
		if err := p.checkBackend(nil, c.Backend, c.JSON); err != nil {
			return err
		}
	}
	app, err := p.openToAct(ctx)
	if err != nil {
		return err
	}
	defer app.close()
	n, err := app.client.Requeue(ctx, queue.RequeueRequest{
		Filter: queue.Filter{Queue: c.Queue, Backend: c.Backend}, OlderThan: time.Duration(*c.OlderThan),
		MaxAttempts: maxAttempts, MarkFailed: c.MarkFailed, Limit: c.BatchSize, DryRun: c.DryRun,
	})
	if err != nil {
		return p.inJSON(c.JSON, requeueError(n, err))
	}
	if err := c.print(p, n); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return errors.New("interrupted: more tasks may be left")
	}
	return nil
}

func (c *requeueCmd) print(p *program, n queue.RequeueResult) error {
	if c.JSON {
		return p.printJSON(struct {
			Ready  int  `json:"ready"`
			Failed int  `json:"failed"`
			DryRun bool `json:"dry_run"`
		}{n.Ready, n.Failed, c.DryRun})
	}
	are := "are"
	if c.DryRun {
		p.nameDatabase(false)
		are = "would be"
	}
	_, err := fmt.Fprintf(p.stdout, "%d tasks %s READY again, %d %s FAILED\n", n.Ready, are, n.Failed, are)
	return err
}

// requeueError adds to an error what was done before it.
func requeueError(n queue.RequeueResult, err error) error {
	if n.Ready+n.Failed > 0 {
		err = fmt.Errorf("%d tasks are READY again and %d FAILED, then: %w", n.Ready, n.Failed, err)
	}
	return refused(err)
}
