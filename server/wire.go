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
	"github.com/claimcheck-go/claimcheck/queue/sqlstore"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// parts are what most commands work with, made from the settings in two steps:
// plan, which finds every mistake in them, and open, which touches the world.
type parts struct {
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
func (p *program) plan(ctx context.Context, dispatches, runs bool) (*parts, error) {
	mode, err := p.config.Mode()
	if err != nil {
		return nil, err
	}
	parts := &parts{mode: mode, log: p.logger(), runs: runs}
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
		parts.exports, err = p.exports()
		problems = append(problems, err)
	}
	_, err = p.config.DatabaseURL()
	problems = append(problems, err)
	if dispatches {
		parts.job, err = p.config.JobName(ctx)
		problems = append(problems, err)
	}
	if mode == config.ModeCloudTasks && dispatches {
		problems = append(problems, p.config.CheckEmulator())
		parts.target, err = p.config.Target(ctx)
		problems = append(problems, err)
		if err == nil {
			problems = append(problems, checkTimeouts(reg, parts.target))
			if runs {
				problems = append(problems, p.config.CheckTimeout(parts.target))
			}
		}
	}
	if dispatches {
		problems = append(problems, p.config.CheckQueues(parts.target, parts.job))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, usageError{err}
	}
	parts.config = queue.Config{
		Registry: reg, Logger: parts.log, Queues: config.NonEmpty(p.config.Settings.TasksQueues),
		MaxBytes: int(p.config.Settings.TasksMaxBody), StrictArgs: p.config.Settings.TasksStrictArgs, DispatchTimeout: time.Duration(p.config.Settings.TasksDispatchTimeout),
	}
	return parts, nil
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
func (p *program) open(ctx context.Context, parts *parts, local *queue.Local, migrate bool) (err error) {
	if parts.observer, err = p.observe(ctx, parts.exports, parts.log); err != nil {
		return err
	}
	switch {
	case parts.target != nil:
		if parts.config.Dispatcher, err = p.cloudDispatcher(ctx, parts); err != nil {
			return err
		}
	case parts.mode == config.ModeLocal && local != nil:
		parts.config.Dispatcher = local
	}
	if err = parts.openJobs(ctx); err != nil {
		return err
	}
	if parts.db, err = p.openDatabase(ctx, opening{existing: parts.existing}); err != nil {
		return err
	}
	embedded, ok := parts.db.(*sqlstore.Store)
	if migrate || parts.mode == config.ModeLocal && ok && embedded.Embedded() && !parts.existing {
		_, err = parts.db.Migrate(ctx)
	} else {
		err = parts.db.CheckSchema(ctx)
	}
	if err != nil {
		return err
	}
	parts.config.Store = parts.db
	if parts.observer != nil {
		if err := p.observeStore(parts); err != nil {
			return err
		}
		parts.config.Hooks = parts.observer.Hooks()
	}
	parts.client, err = queue.NewClient(parts.config)
	return err
}

// connect is plan and open for a command that only looks at tasks or tidies
// them up, and dispatches nothing. It creates neither a database nor tables.
func (p *program) connect(ctx context.Context) (*parts, error) {
	parts, err := p.plan(ctx, false, false)
	if err == nil {
		err = p.checkKept()
	}
	if err != nil {
		return nil, err
	}
	// It returns every error of the database, and ends then: nothing is retried.
	parts.config.Logger = slog.New(slog.DiscardHandler)
	parts.existing = true
	if err := p.open(ctx, parts, nil, false); err != nil {
		parts.close()
		return nil, err
	}
	return parts, nil
}

// cloudDispatcher makes the dispatcher over Cloud Tasks.
func (p *program) cloudDispatcher(ctx context.Context, parts *parts) (queue.Dispatcher, error) {
	var err error
	parts.tasks, err = cloudtasks.Dial(ctx, cloudtasks.DialConfig{EmulatorHost: p.config.Settings.CloudTasksEmulatorHost})
	if err != nil {
		return nil, fmt.Errorf("cloud tasks: %w", err)
	}
	return cloudtasks.New(parts.tasks, parts.target.Tasks)
}

// executor makes the executor of this process.
func (p *program) executor(parts *parts, concurrency int) (*queue.Executor, error) {
	return queue.NewExecutor(parts.client, queue.ExecutorConfig{
		Lease: time.Duration(p.config.Settings.TasksLease), Timeout: p.config.DefaultTimeout(parts.mode), Concurrency: concurrency,
	})
}

// flushTime is how long the end of a command waits for its telemetry to go out.
const flushTime = 2 * time.Second

// flush exports what telemetry is left, until ctx ends.
func (parts *parts) flush(ctx context.Context) {
	if err := parts.observer.shutdown(ctx); err != nil {
		parts.log.Warn("some telemetry was not exported", "error", err)
	}
	parts.observer = nil
}

func (parts *parts) close() {
	flushing, cancel := context.WithTimeout(context.Background(), parts.endTime(flushTime))
	defer cancel()
	parts.flush(flushing)
	if parts.db != nil {
		if err := closeDatabase(parts.db, parts.endTime(closeTime)); err != nil {
			parts.log.Warn("closing the database", "error", err)
		}
	}
	if parts.tasks != nil {
		_ = parts.tasks.Close()
	}
	if parts.jobs != nil {
		_ = parts.jobs.Close()
	}
}
