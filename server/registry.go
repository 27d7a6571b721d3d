package server

import (
	"context"
	"slices"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/doctor"
	"github.com/claimcheck-go/claimcheck/server/webhook"
)

// registryOf returns the registry of the program's tasks, in which those that Setup
// made replace the declarations of their names. What package queue panics about is
// a usage error. Schedules are in it if it is complete: a command that does not call
// Setup may not know their tasks.
func (p *program) registryOf(complete bool, made ...queue.Definition) (_ *queue.Registry, err error) {
	source := "Config.Tasks"
	defer func() {
		failure := recover()
		if failure == nil {
			return
		}
		text, ok := failure.(string)
		if !ok {
			panic(failure)
		}
		err = usagef("the tasks of %s: %s", source, strings.TrimPrefix(strings.TrimPrefix(text, "queue: "), "NewRegistry: "))
	}()
	refuseProbe(queue.NewRegistry(p.own.Tasks...))
	refuseNotices(queue.NewRegistry(p.own.Tasks...))
	source = "Config.Setup"
	refuseProbe(queue.NewRegistry(made...))
	refuseNotices(queue.NewRegistry(made...))
	replaced := map[string]bool{}
	for _, task := range queue.NewRegistry(made...).Tasks() {
		replaced[task.Name] = true
	}
	source = "Config.Tasks, Config.Schedules and Config.Setup"
	var all []queue.Definition
	for _, definition := range slices.Concat(made, p.own.Tasks) {
		if isSchedule(definition) && complete {
			all = append(all, definition)
		}
	}
	for _, definition := range made {
		if !isSchedule(definition) {
			all = append(all, definition)
		}
	}
	for _, definition := range p.own.Tasks {
		if isSchedule(definition) {
			continue
		}
		task := queue.NewRegistry(definition).Tasks()[0]
		if task.Runnable || !replaced[task.Name] {
			all = append(all, definition)
		}
	}
	for _, schedule := range p.own.Schedules {
		if complete || schedule == nil { // which the registry refuses
			all = append(all, schedule)
		}
	}
	all = append(all, doctor.Probe())
	if complete && p.notices != nil {
		all = append(all, p.notices.Task())
	}
	return queue.NewRegistry(all...), nil
}

func isSchedule(definition queue.Definition) bool {
	_, ok := definition.(*queue.Periodic)
	return ok
}

// refuseProbe panics, as package queue does, about a task with the name of doctor's own.
func refuseProbe(tasks *queue.Registry) {
	for _, task := range tasks.Tasks() {
		if task.Name == doctor.ProbeName || slices.Contains(task.Aliases, doctor.ProbeName) {
			panic(doctor.ProbeName + " is reserved for doctor --deliver: choose another name")
		}
	}
}

// setUp calls Setup, if there is one, and completes the registry.
func (app *App) setUp(ctx context.Context) error {
	p := app.program
	var made []queue.Definition
	if p.own.Setup != nil {
		_, err := p.databaseOpener(opening{}) // whose pool Setup may ask for
		if err != nil {
			return err
		}
		if made, err = p.own.Setup(ctx, app); err != nil {
			return &setupError{err, "setup of the tasks failed: "}
		}
	}
	known, err := p.registryOf(true, made...)
	if err != nil {
		return &setupError{err, ""}
	}
	p.known = known
	if app.config.Registry = p.known; app.target != nil && p.config.Role != config.Diagnoses {
		if err := app.target.CheckTasks(p.known); err != nil {
			return usageError{err}
		}
	}
	return nil
}

// setUpOrClose is setUp, and closes the App unless that succeeds: also when Setup
// panics.
func (app *App) setUpOrClose(ctx context.Context) error {
	completed := false
	defer func() {
		if !completed {
			app.close()
		}
	}()
	if err := app.setUp(ctx); err != nil {
		return err
	}
	completed = true
	return nil
}

// setupError is an error of Setup, or of the tasks that it returned.
type setupError struct {
	error
	attempted string // before the text of the error
}

func (e *setupError) Error() string { return e.attempted + e.error.Error() }
func (e *setupError) Unwrap() error { return e.error }

// warnDeclared logs which tasks a process that runs tasks cannot run.
func (app *App) warnDeclared() {
	var names []string
	for _, task := range app.config.Registry.Tasks() {
		if !task.Runnable {
			names = append(names, task.Name)
		}
	}
	if len(names) > 0 {
		app.log.Warn("tasks that are only declared are stored and not run by this process: bind their functions with Handle, or return them from Config.Setup", "tasks", strings.Join(names, ", "))
	}
}

// warnEmpty logs that there is no task at all, besides the server's own.
func (app *App) warnEmpty() {
	own := 1
	if app.notices != nil {
		own++
	}
	if len(app.config.Registry.Tasks()) == own {
		app.log.Warn("no tasks are registered: pass them to server.Main, or set Config.Tasks or Config.Setup")
	}
}

// checkWebhook checks the settings of webhook.deliver, whether or not the program
// has that task.
func (p *program) checkWebhook() error {
	const takes = "host names or addresses, each with or without a port, such as hooks.internal, 10.0.0.7:8080 or ::1"
	if err := config.CheckNamed("WEBHOOK_ALLOW_HOSTS", p.config.Settings.WebhookAllowHosts, takes); err != nil {
		return err
	}
	_, err := webhook.New(webhook.Config{Secret: p.config.Settings.WebhookSecret, AllowHosts: config.NonEmpty(p.config.Settings.WebhookAllowHosts)})
	if err != nil {
		return config.FromFields(err)
	}
	return nil
}
