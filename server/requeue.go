package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

type requeueCmd struct {
	OlderThan   *age   `required:"" placeholder:"15m" help:"Only tasks claimed longer ago than this; a unit is required."`
	Queue       string `placeholder:"NAME" help:"Queue. Default: all."`
	Backend     string `placeholder:"NAME" help:"Backend. Default: all."`
	MaxAttempts *int   `placeholder:"N" accepts:"of at least 1" help:"Attempts after which a task is FAILED. Default: the task's own."`
	MarkFailed  bool   `help:"Make them FAILED in any case."`
	BatchSize   int    `default:"1000" accepts:"from 1 to 10000" help:"How many to handle in one transaction, up to 10000."`
	DryRun      bool   `help:"Only count."`
}

// age is a duration that nobody gives without its unit, not even 0.
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
	if c.BatchSize < 1 || c.BatchSize > 10000 {
		return config.Problemf("--batch-size", "must be from 1 to 10000, not %d", c.BatchSize)
	}
	maxAttempts := 0 // the row's own
	if c.MaxAttempts != nil {
		if maxAttempts = *c.MaxAttempts; maxAttempts < 1 || maxAttempts > queue.MaxAttemptsLimit {
			return config.Problemf("--max-attempts", "must be from 1 to %d, not %d", queue.MaxAttemptsLimit, maxAttempts)
		}
	}
	if c.Backend != "" {
		if err := p.checkBackend(nil, c.Backend, false); err != nil {
			return err
		}
	}
	app, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer app.close()
	n, err := app.client.Requeue(ctx, queue.RequeueRequest{
		Filter: queue.Filter{Queue: c.Queue, Backend: c.Backend}, OlderThan: time.Duration(*c.OlderThan),
		MaxAttempts: maxAttempts, MarkFailed: c.MarkFailed, Limit: c.BatchSize, DryRun: c.DryRun,
	})
	if err != nil {
		return requeueError(n, err)
	}
	are := "are"
	if c.DryRun {
		p.nameDatabase(false)
		are = "would be"
	}
	fmt.Fprintf(p.stdout, "%d tasks %s READY again, %d %s FAILED\n", n.Ready, are, n.Failed, are)
	if ctx.Err() != nil {
		return errors.New("interrupted before the end: there may be more")
	}
	return nil
}

// requeueError says what was done before the error.
func requeueError(n queue.RequeueResult, err error) error {
	if n.Ready+n.Failed > 0 {
		err = fmt.Errorf("%d tasks are READY again and %d FAILED, then: %w", n.Ready, n.Failed, err)
	}
	return refused(err)
}
