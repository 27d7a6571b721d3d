package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

// plan resolves the settings. Its errors are usage errors; what is missing is
// named all at once. A command that dispatches nothing needs no target, and one
// that runs no task none of the settings for that. A command that does either gets
// the tasks of Setup.
func (p *program) plan(ctx context.Context, dispatches, runs bool) (*App, error) {
	mode, err := p.config.Mode()
	if err != nil {
		return nil, err
	}
	app := p.newApp(mode)
	app.runs = runs
	var problems []error
	if runs {
		problems = append(problems, p.checkRunning()...)
	}
	if runs || dispatches {
		app.exports, err = p.exports()
		problems = append(problems, err)
	}
	_, err = p.config.DatabaseURL()
	problems = append(problems, err)
	if dispatches {
		app.job, err = p.config.JobName(ctx)
		problems = append(problems, err)
	}
	if mode == config.ModeCloudTasks && dispatches {
		problems = append(problems, p.config.CheckEmulator())
		app.target, err = p.config.Target(ctx)
		problems = append(problems, err)
		if err == nil {
			if p.config.Role != config.Diagnoses { // which has a check for each task
				problems = append(problems, app.target.CheckTasks(p.known))
			}
			if runs {
				problems = append(problems, p.config.CheckTimeout(app.target))
			}
		}
	}
	if dispatches {
		problems = append(problems, p.config.CheckQueues(app.target, app.job))
	}
	keep, err := p.config.Keep()
	problems = append(problems, err)
	backlog, err := p.config.MaxBacklog()
	problems = append(problems, err)
	if dispatches || runs {
		p.notices, err = p.makeNotices(app)
		app.notices = p.notices
		problems = append(problems, err)
	}
	codec, err := p.codec(dispatches || runs)
	problems = append(problems, err)
	if err := errors.Join(problems...); err != nil {
		return nil, usageError{err}
	}
	app.config = queue.Config{
		Codec: codec, EncryptMarked: codec != nil && p.config.Settings.TasksEncryption == "marked",
		Keep: keep, MaxBacklog: backlog, Limits: p.own.Limits, Middleware: p.own.Middleware,
		Registry: p.known, Program: p.name, Logger: app.log, Queues: config.NonEmpty(p.config.Settings.TasksQueues),
		MaxBytes: int(p.config.Settings.TasksMaxBody), StrictArgs: p.config.Settings.TasksStrictArgs, DispatchTimeout: p.config.Settings.TasksDispatchTimeout,
	}
	if dispatches || runs {
		if err := app.setUpOrClose(ctx); err != nil {
			return nil, err
		}
	}
	return app, nil
}

// checkRunning returns what is wrong with the settings of a process that runs tasks.
func (p *program) checkRunning() []error {
	problems := []error{p.checkWebhook()}
	if lease := p.config.Settings.TasksLease; lease < time.Second {
		problems = append(problems, config.Problemf("TASKS_LEASE", "must be at least 1s, not %s", lease))
	}
	if interval := p.config.Settings.TasksSweepInterval; interval != 0 && interval < time.Second {
		problems = append(problems, config.Problemf("TASKS_SWEEP_INTERVAL", "must be 0 (never) or at least 1s, not %s", interval))
	}
	return problems
}

// newApp returns an App that has only its logger.
func (p *program) newApp(mode string) *App {
	app := &App{program: p, mode: mode, log: p.logger(), client: new(queue.Client), looping: make(chan struct{}), shut: make(chan struct{})}
	close(app.looping)
	app.stopped, app.stop = context.WithCancel(context.Background())
	return app
}

// open connects the parts. In local mode local is the dispatcher of a process
// that runs tasks; without one they are left to the process that does. The schema
// is migrated when asked; otherwise it must have been, except in local mode in a
// SQLite file, which has no other operator.
func (p *program) open(ctx context.Context, app *App, local *queue.Local, migrate bool) (err error) {
	if app.observer, err = p.observe(ctx, app.exports, app.log); err != nil {
		return err
	}
	switch {
	case app.target != nil:
		if app.config.Dispatcher, err = p.cloudDispatcher(ctx, app); err != nil {
			return err
		}
	case app.mode == config.ModeLocal && local != nil:
		app.config.Dispatcher = local
	}
	if err = app.openJobs(ctx); err != nil {
		return err
	}
	if err = app.openStore(ctx, opening{existing: app.existing, observe: p.observeDatabase(app)}); err != nil {
		return err
	}
	databaseURL, err := p.config.DatabaseURL()
	if err != nil {
		return err
	}
	if migrate || app.mode == config.ModeLocal && stores.Embedded(databaseURL) && !app.existing {
		err = stores.Migrate(ctx, app.db)
	} else {
		err = stores.CheckSchema(ctx, app.db)
	}
	if err != nil {
		return err
	}
	app.config.Store = app.db
	if app.observer != nil {
		if err := p.observeStore(app); err != nil {
			return err
		}
		app.config.Hooks = app.observer.Hooks()
	}
	if app.notices != nil {
		app.config.Hooks = queue.JoinHooks(app.config.Hooks, app.notices.Hooks())
	}
	return app.client.Init(app.config)
}

// openToChange is plan and open for a command that changes something, and may dispatch.
// With existing it is about what is there already: no database and no tables are created
// for it. The caller closes the App.
func (p *program) openToChange(ctx context.Context, existing bool) (*App, error) {
	if err := p.checkKept(); err != nil {
		return nil, err
	}
	app, err := p.plan(ctx, true, false)
	if err != nil {
		return nil, err
	}
	app.existing = existing
	if err := p.open(ctx, app, nil, false); err != nil {
		app.close()
		return nil, err
	}
	return app, nil
}

// openToAct is for a command that changes tasks that exist, which lets others start: it is
// openToChange where that works, and connect where it does not, because a setting of Cloud
// Tasks or what Setup needs is missing. Then the sweeper dispatches the others.
func (p *program) openToAct(ctx context.Context) (*App, error) {
	if app, err := p.openToChange(ctx, true); err == nil {
		return app, nil
	}
	return p.connect(ctx)
}

// connect is plan and open for a command that only looks at tasks or tidies
// them up, and dispatches nothing. It creates neither a database nor tables.
func (p *program) connect(ctx context.Context) (*App, error) {
	app, err := p.plan(ctx, false, false)
	if err == nil {
		err = p.checkKept()
	}
	if err != nil {
		return nil, err
	}
	// It returns every error of the database, and ends then: nothing is retried.
	app.config.Logger = slog.New(slog.DiscardHandler)
	app.existing = true
	if err := p.open(ctx, app, nil, false); err != nil {
		app.close()
		return nil, err
	}
	return app, nil
}

// cloudDispatcher makes the dispatcher over Cloud Tasks.
func (p *program) cloudDispatcher(ctx context.Context, app *App) (queue.Dispatcher, error) {
	var err error
	// Its credentials are renewed with this context for as long as it is used.
	app.tasks, err = cloudtasks.Dial(context.WithoutCancel(ctx), cloudtasks.DialConfig{EmulatorHost: p.config.Settings.CloudTasksEmulatorHost})
	if err != nil {
		return nil, fmt.Errorf("cloud tasks: %w", err)
	}
	target := app.target.Tasks
	target.Logger = app.config.Logger
	return cloudtasks.New(app.tasks, target)
}

// executor makes the executor of this process.
func (p *program) executor(app *App, concurrency int) (*queue.Executor, error) {
	return queue.NewExecutor(app.client, queue.ExecutorConfig{
		Lease: p.config.Settings.TasksLease, Timeout: p.config.DefaultTimeout(app.mode), Concurrency: concurrency,
	})
}

// flushTime is how long the end of a command waits for its telemetry to go out.
const flushTime = 2 * time.Second

// flush exports what telemetry is left, until ctx ends.
func (app *App) flush(ctx context.Context) {
	if err := app.observer.shutdown(ctx); err != nil {
		app.log.Warn("some telemetry was not exported", "error", err)
	}
	app.observer = nil
}

// end exports what telemetry is left, and closes everything.
func (app *App) end(ctx context.Context) error {
	app.stop()
	if app.stopMetrics != nil {
		app.stopMetrics()
	}
	app.flush(ctx)
	err := errors.Join(app.closeAll(), app.closePool())
	if app.db != nil {
		err = errors.Join(err, app.db.Close())
	}
	app.closeClients()
	return err
}

func (app *App) closeClients() {
	if app.tasks != nil {
		_ = app.tasks.Close()
	}
	if app.jobs != nil {
		_ = app.jobs.Close()
	}
}

// closersTime bounds the functions of OnClose.
const closersTime = 5 * time.Second

// close is end for a process that ends too: what takes long is left to that.
func (app *App) close() {
	app.stop()
	if app.stopMetrics != nil {
		app.stopMetrics()
	}
	flushing, cancel := context.WithTimeout(context.Background(), app.endTime(flushTime))
	defer cancel()
	app.flush(flushing)
	if err := withPatience(app.endTime(closersTime), app.closeAll); err != nil {
		app.log.Warn("closing what Setup has opened", "error", err)
	}
	_ = withPatience(app.endTime(stores.CloseTime), app.closePool)
	if app.db != nil {
		if err := withPatience(app.endTime(stores.CloseTime), app.db.Close); err != nil {
			app.log.Warn("closing the database", "error", err)
		}
	}
	app.closeClients()
}

// withPatience calls f, and leaves it to the end of the process if it takes longer than
// patience.
func withPatience(patience time.Duration, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		return nil
	}
}
