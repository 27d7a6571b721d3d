package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	apiv2 "cloud.google.com/go/cloudtasks/apiv2"
	run "cloud.google.com/go/run/apiv2"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

// App is what most commands work with, made from the settings in two steps:
// plan, which finds every mistake in them, and open, which touches the world.
type App struct {
	mode   string
	log    *slog.Logger
	config queue.Config
	target *config.Target // in cloudtasks mode

	exports  exports
	observer *observer // nil: nothing is exported
	runs     bool      // this process runs tasks
	existing bool      // the database must exist, with its tables

	hurried atomic.Bool // a second signal has come

	job    string          // the Cloud Run job of the backend "jobs"; empty: there is none
	jobs   *run.JobsClient // if there is one
	tasks  *apiv2.Client   // in cloudtasks mode
	db     database
	client *queue.Client
}

// plan resolves the settings. Its errors are usage errors; what is missing is
// named all at once. A command that dispatches nothing needs no target, and one
// that runs no task none of the settings for that.
func (p *program) plan(ctx context.Context, dispatches, runs bool) (*App, error) {
	mode, err := p.config.Mode()
	if err != nil {
		return nil, err
	}
	app := &App{mode: mode, log: p.logger(), runs: runs}
	var problems []error
	reg := p.knownTasks()
	if runs {
		runnable, err := p.registry()
		if problems = append(problems, err); err == nil {
			reg = runnable
		}
		if lease := time.Duration(p.config.Settings.TasksLease); lease < time.Second {
			problems = append(problems, config.Problemf("TASKS_LEASE", "must be at least 1s, not %s", lease))
		}
		if interval := time.Duration(p.config.Settings.TasksSweepInterval); interval != 0 && interval < time.Second {
			problems = append(problems, config.Problemf("TASKS_SWEEP_INTERVAL", "must be 0 (never) or at least 1s, not %s", interval))
		}
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
				problems = append(problems, checkTimeouts(reg, app.target))
			}
			if runs {
				problems = append(problems, p.config.CheckTimeout(app.target))
			}
		}
	}
	if dispatches {
		problems = append(problems, p.config.CheckQueues(app.target, app.job))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, usageError{err}
	}
	app.config = queue.Config{
		Registry: reg, Logger: app.log, Queues: config.NonEmpty(p.config.Settings.TasksQueues),
		MaxBytes: int(p.config.Settings.TasksMaxBody), StrictArgs: p.config.Settings.TasksStrictArgs, DispatchTimeout: time.Duration(p.config.Settings.TasksDispatchTimeout),
	}
	return app, nil
}

// checkTimeouts refuses tasks that may take longer than their delivery; it is
// what queue.NewClient does too, but only once the database is open.
func checkTimeouts(reg *queue.Registry, t *config.Target) error {
	var problems []error
	for _, task := range reg.Tasks() {
		if task.Backend != queue.DefaultBackend {
			continue
		}
		if err := t.Tasks.CheckTimeout(task.Timeout); err != nil {
			problems = append(problems, fmt.Errorf("task %s: %w", task.Name, err))
		}
	}
	return errors.Join(problems...)
}

// open connects the parts. In local mode local is the dispatcher of a process
// that runs tasks; without one they are left to the process that does. The schema
// is migrated when asked; otherwise somebody must have done it, except in an
// SQLite file, which nobody else looks after.
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
	if app.db, err = p.openDatabase(ctx, opening{existing: app.existing, observe: p.observeDatabase(app)}); err != nil {
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
	app.client, err = queue.NewClient(app.config)
	return err
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
	app.tasks, err = cloudtasks.Dial(ctx, cloudtasks.DialConfig{EmulatorHost: p.config.Settings.CloudTasksEmulatorHost})
	if err != nil {
		return nil, fmt.Errorf("cloud tasks: %w", err)
	}
	return cloudtasks.New(app.tasks, app.target.Tasks)
}

// executor makes the executor of this process.
func (p *program) executor(app *App, concurrency int) (*queue.Executor, error) {
	return queue.NewExecutor(app.client, queue.ExecutorConfig{
		Lease: time.Duration(p.config.Settings.TasksLease), Timeout: p.config.DefaultTimeout(app.mode), Concurrency: concurrency,
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

func (app *App) close() {
	flushing, cancel := context.WithTimeout(context.Background(), app.endTime(flushTime))
	defer cancel()
	app.flush(flushing)
	if app.db != nil {
		if err := stores.Close(app.db, app.endTime(stores.CloseTime)); err != nil {
			app.log.Warn("closing the database", "error", err)
		}
	}
	if app.tasks != nil {
		_ = app.tasks.Close()
	}
	if app.jobs != nil {
		_ = app.jobs.Close()
	}
}
