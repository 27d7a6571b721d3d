package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

type sweepCmd struct {
	Limit int  `default:"500" accepts:"from 1 to 10000" help:"Most tasks of each kind to handle, up to 10000."`
	JSON  bool `name:"json" help:"Print what the endpoint answers."`
}

// Help shows examples.
func (*sweepCmd) Help() string {
	return `Dispatches tasks that should have been claimed by now, reclaims those whose
lease has expired, gives far-future tasks their Cloud Task, and enqueues what is due
of the schedules. Several sweeps may run at the same time.

Examples:
  {name} sweep
  {name} sweep --limit 10000 --json`
}

// Run does one pass of the sweeper. It fails if there were errors and nothing was done.
func (c *sweepCmd) Run(ctx context.Context, p *program) error {
	if err := within("--limit", c.Limit, 1, api.MaxBatch); err != nil {
		return err
	}
	app, err := p.openToChange(ctx, false)
	if err != nil {
		return err
	}
	defer app.close()
	swept, err := app.client.Sweep(ctx, c.Limit)
	if err != nil {
		return p.inJSON(c.JSON, err)
	}
	if c.JSON {
		err = p.printJSON(swept)
	} else {
		text := fmt.Sprintf("%d dispatched, %d reclaimed, %d armed, %d failed, %d errors, %d enqueued",
			swept.Dispatched, swept.Reclaimed, swept.Armed, swept.Failed, swept.Errors, swept.Enqueued)
		if swept.Expired+swept.Deleted > 0 {
			text += fmt.Sprintf(", %d expired, %d deleted", swept.Expired, swept.Deleted)
		}
		_, err = fmt.Fprintln(p.stdout, text)
	}
	switch {
	case err != nil:
	case ctx.Err() != nil:
		err = errors.New("interrupted: more tasks may be left")
	case swept.NothingWorked():
		err = errSilent // the log has the reason
	}
	return err
}

// sweepAlong sweeps every TASKS_SWEEP_INTERVAL until ctx ends or stop is called.
// stop waits for the current sweep.
func (p *program) sweepAlong(ctx context.Context, client *queue.Client) (stop func()) {
	interval := p.config.Settings.TasksSweepInterval
	if interval == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		client.SweepEvery(ctx, interval)
	}()
	return func() {
		cancel()
		<-done
	}
}
