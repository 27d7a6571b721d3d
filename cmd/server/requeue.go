package main

import (
	"context"
	"fmt"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

type requeueCmd struct {
	OlderThan   *duration `required:"" placeholder:"15m" help:"Only tasks claimed longer ago than this; a unit is required."`
	Queue       string    `placeholder:"NAME" help:"Queue. Default: all."`
	Backend     string    `placeholder:"NAME" help:"Backend. Default: all."`
	MaxAttempts int       `placeholder:"N" help:"Attempts after which a task is FAILED. Default: the task's own."`
	MarkFailed  bool      `help:"Make them FAILED in any case."`
	BatchSize   int       `default:"1000" help:"How many to handle in one transaction, up to 10000."`
	DryRun      bool      `help:"Only count."`
}

// Help shows examples.
func (*requeueCmd) Help() string {
	return `Examples:
  server requeue --older-than 15m --dry-run
  server requeue --older-than 1h --mark-failed`
}

// Run recovers tasks whose worker is gone: back to READY, or FAILED where no
// attempt is left.
func (c *requeueCmd) Run(ctx context.Context, p *program) error {
	if c.BatchSize < 1 || c.BatchSize > 10000 {
		return usagef("--batch-size must be from 1 to 10000, not %d", c.BatchSize)
	}
	parts, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer parts.close()
	n, err := parts.client.Requeue(ctx, queue.RequeueRequest{
		Filter: queue.Filter{Queue: c.Queue, Backend: c.Backend}, OlderThan: time.Duration(*c.OlderThan),
		MaxAttempts: c.MaxAttempts, MarkFailed: c.MarkFailed, Limit: c.BatchSize, DryRun: c.DryRun,
	})
	if err != nil {
		return refused(err)
	}
	are := "are"
	if c.DryRun {
		are = "would be"
	}
	fmt.Fprintf(p.stdout, "%d tasks %s READY again, %d %s FAILED\n", n.Ready, are, n.Failed, are)
	return nil
}
