package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

type workCmd struct {
	Queue           []string       `placeholder:"NAME" help:"Queues to pull from; repeatable. Default: all."`
	Backend         string         `default:"default" help:"Backend to pull from."`
	Continuous      bool           `help:"Keep running when nothing is due, instead of ending."`
	Interval        time.Duration  `default:"5s" help:"How often to look for due tasks when there were none."`
	MaxTasks        int            `default:"0" accepts:"of 0 (no limit) or more" help:"End after this many tasks; 0 is no limit."`
	Concurrency     int            `default:"1" accepts:"of at least 1" help:"Tasks that run at once."`
	ShutdownTimeout *time.Duration `placeholder:"0" help:"How long running tasks may continue after SIGTERM; 0 is as long as it takes. Default: 8s on Cloud Run and App Engine, else 0."`
	EmptyExitCode   int            `default:"0" accepts:"from 0 to 255" help:"Exit status when nothing was run."`
	FailedExitCode  int            `default:"0" accepts:"from 0 to 255" help:"Exit status when a task ended FAILED."`
}

// exitStatus ends a command with this status and without a message.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// Help shows examples.
func (*workCmd) Help() string {
	return `Examples:
  {name} work --queue emails --queue default --concurrency 10
  {name} work --continuous --interval 2
  {name} work --max-tasks 100 --failed-exit-code 1`
}

// Run pulls and runs tasks until none is due, or with --continuous until a signal.
func (c *workCmd) Run(ctx context.Context, p *program) error {
	if err := c.check(); err != nil {
		return err
	}
	working, signals, stop := untilSignal(ctx)
	defer stop()
	started := endAtSecond(working, signals)
	app, executor, err := c.start(working, p)
	started()
	if err != nil {
		if working.Err() != nil && !isUsage(err) {
			return nil // it was stopped before it could start
		}
		return err
	}
	defer app.close()
	stopped := c.stopOnSignal(ctx, working, p, app, executor, signals, stop)
	ctx = working
	if c.Continuous {
		defer p.sweepAlong(ctx, app.client)()
		var comparing sync.WaitGroup
		comparing.Go(func() { app.warnKeys(ctx) })
		defer comparing.Wait()
	}
	progress := p.progress("tasks run")
	worked, err := executor.Work(ctx, queue.WorkConfig{
		From: queue.From{Queues: config.NonEmpty(c.Queue), Backend: c.Backend}, MaxTasks: c.MaxTasks,
		Continuous: c.Continuous, Interval: c.Interval, OnRun: func(*queue.Run) { progress.add(1) },
	})
	progress.end()
	if err := stopped(); err != nil {
		app.log.Error("stopped with claims that were not released; they expire with their leases", "error", err)
		return errSilent
	}
	if err != nil {
		return err
	}
	app.log.Info("work ended", "tasks_run", worked.Runs, "failed", worked.Failed)
	return c.status(worked)
}

// start makes what the worker needs, and closes the App unless all of it is made.
func (c *workCmd) start(ctx context.Context, p *program) (_ *App, executor *queue.Executor, err error) {
	app, err := c.plan(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if executor == nil {
			app.close()
		}
	}()
	if err := p.open(ctx, app, nil, false); err != nil {
		return nil, nil, err
	}
	if app.stopMetrics, err = p.serveMetrics(ctx, app); err != nil {
		return nil, nil, err
	}
	if err := p.checkBackend(app, c.Backend, false); err != nil {
		return nil, nil, err
	}
	executor, err = p.executor(app, c.Concurrency)
	return app, executor, err
}

// status returns the exit status that the flags set for what became of the tasks.
func (c *workCmd) status(worked queue.WorkResult) error {
	switch {
	case worked.Failed > 0 && c.FailedExitCode != 0:
		return exitStatus(c.FailedExitCode)
	case worked.Runs == 0 && c.EmptyExitCode != 0:
		return exitStatus(c.EmptyExitCode)
	}
	return nil
}

// plan resolves the settings, and warns about a worker that will have nothing to do.
func (c *workCmd) plan(ctx context.Context, p *program) (*App, error) {
	if p.config.Settings.Metrics == config.MetricsOn {
		return nil, config.Problemf("METRICS", "=on is for serve: a worker has no listener, so give METRICS a HOST:PORT such as 127.0.0.1:9464, or turn it off")
	}
	p.config.Role = config.Pulls
	if !c.Continuous {
		if err := p.checkKept(); err != nil {
			return nil, err
		}
	}
	app, err := p.plan(ctx, true, true)
	if err != nil {
		return nil, err
	}
	if rawURL, _ := p.config.DatabaseURL(); stores.InMemory(rawURL) {
		app.log.Warn("no other process can store tasks in a database in memory: this worker will receive none", "database", rawURL)
	}
	app.warnDeclared()
	app.warnEmpty()
	return app, nil
}

func (c *workCmd) check() error {
	switch {
	case c.Concurrency < 1:
		return config.Problemf("--concurrency", "must be at least 1, not %d", c.Concurrency)
	case c.MaxTasks < 0:
		return config.Problemf("--max-tasks", "must be 0 (no limit) or more, not %d", c.MaxTasks)
	case c.Interval <= 0:
		return config.Problemf("--interval", "must be more than 0")
	case min(c.EmptyExitCode, c.FailedExitCode) < 0 || max(c.EmptyExitCode, c.FailedExitCode) > 255:
		return config.Problemf("--empty-exit-code", "and --failed-exit-code must be from 0 to 255")
	}
	return nil
}

// stopOnSignal makes SIGTERM and SIGINT stop the worker: it claims nothing more, and
// running tasks may end within the shutdown timeout. After that, or at a second
// signal, their claims are released. stopped waits for this if there was a signal, and
// fails if a function did not return, so that its claim could not be released.
func (c *workCmd) stopOnSignal(ctx, working context.Context, p *program, app *App, e *queue.Executor, signals <-chan os.Signal, stop func()) (stopped func() error) {
	timeout := time.Duration(0)
	if p.config.OnPlatform() {
		timeout = 8 * time.Second
	}
	if c.ShutdownTimeout != nil {
		timeout = *c.ShutdownTimeout
	}
	result := make(chan error, 1)
	go func() {
		<-working.Done()
		if ctx.Err() == nil && !errors.Is(context.Cause(working), errSignal) { // the work has ended by itself
			if err := settleClaims(context.WithoutCancel(ctx), e); err != nil {
				app.log.Error("claims whose answers were lost could not be released; they expire with their leases", "error", err)
			}
			result <- nil
			return
		}
		app.log.Info("stopping: running tasks may end first")
		draining, cut := context.WithCancel(context.WithoutCancel(ctx))
		defer cut()
		if timeout > 0 {
			draining, cut = context.WithTimeout(draining, max(timeout-lingerTime, timeout/2))
			defer cut()
		}
		context.AfterFunc(app.hurryOn(draining, signals), cut)
		result <- e.Shutdown(draining, lingerTime)
	}()
	return func() error {
		stop()
		return <-result
	}
}
