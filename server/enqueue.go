package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

type enqueueCmd struct {
	Name           string         `arg:"" help:"The task's name; - reads one JSON object a line from standard input, each as the body of /tasks/enqueue/."`
	Args           string         `arg:"" optional:"" placeholder:"ARGS-JSON" help:"Its arguments as JSON. Default: null."`
	Queue          *string        `placeholder:"NAME" help:"Queue, instead of the task's own."`
	Priority       *int           `placeholder:"N" accepts:"from -100 to 100" help:"-100 to 100, higher first, instead of the task's own."`
	RunAfter       string         `placeholder:"TIME" help:"Not before this time (RFC 3339), or this long from now (90s, 2h; a number is seconds)."`
	Expires        string         `placeholder:"TIME" help:"Do not start it from this time on (RFC 3339), or this long from now: it is cancelled then."`
	KeepSuccessful *time.Duration `placeholder:"24h" help:"How long it is kept after it succeeded or was cancelled, instead of the task's own; with --keep-failed."`
	KeepFailed     *time.Duration `placeholder:"720h" help:"How long it is kept after it FAILED; with --keep-successful."`
	Backend        *string        `placeholder:"NAME" help:"Backend, instead of the task's own."`
	ID             *string        `name:"id" placeholder:"UUID" help:"The task's ID: repeating the same enqueue then stores nothing new."`
	Group          *string        `placeholder:"UUID" help:"The group that it becomes a member of."`
	UniqueKey      *string        `placeholder:"KEY" help:"Idempotency key: while a task of this name holds it, no other is stored."`
	UniqueFor      *string        `placeholder:"TIME" help:"How long it holds the key: unfinished (the default), kept, or a time from now such as 1h."`
	OnConflict     *string        `placeholder:"WHAT" help:"If a task holds the key: return (the default), replace or error."`
	Wait           bool           `help:"Wait until the task ends and print its result; fail if it failed. In local mode, run the task here unless a server has claimed it."`
	IDs            bool           `name:"ids" help:"With -, print the IDs on a terminal too, instead of a summary. In a pipe they are always printed."`
	JSON           bool           `name:"json" help:"Print what the endpoint answers."`
}

// Help shows examples.
func (*enqueueCmd) Help() string {
	return `Examples:
  {name} enqueue {task} '{"hello":"world"}' --wait
  {name} enqueue {task} --run-after 2h --queue emails --priority 10
  {name} enqueue {task} --unique-key user-7 --unique-for 1h
  {name} enqueue - < tasks.jsonl`
}

// Run stores one task, or those on standard input.
func (c *enqueueCmd) Run(ctx context.Context, p *program) error {
	options, err := c.options()
	if err != nil {
		return err
	}
	if c.Name == "-" && (c.Args != "" || len(options) > 0 || c.Wait) {
		return usagef("enqueue - reads everything from its lines: leave out other arguments and all flags but --ids and --json")
	}
	if err := p.checkKept(); err != nil {
		return err
	}
	app, err := p.plan(ctx, true, c.Wait)
	if err != nil {
		return err
	}
	defer app.close()
	if err := p.open(ctx, app, nil, false); err != nil {
		return err
	}
	if c.Name == "-" {
		return c.bulk(ctx, p, app.client)
	}
	args, err := c.arguments()
	if err != nil {
		return err
	}
	if c.Backend != nil {
		if err := p.checkBackend(app, *c.Backend, c.JSON); err != nil {
			return err
		}
	}
	waiting, stop := ctx, func() {}
	if c.Wait { // from here on a signal ends the wait, and the ID is printed
		waiting, stop = signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		context.AfterFunc(waiting, stop) // a second one ends the process
	}
	defer stop()
	handle, err := app.client.Enqueue(ctx, c.Name, args, options...)
	if err != nil {
		return c.inFlags(p.inJSON(c.JSON, refused(err)))
	}
	p.warnArgs("", handle)
	c.sayExisted(p, handle)
	if c.Wait {
		return c.wait(waiting, p, app, handle)
	}
	return c.printHandle(p, handle)
}

func (c *enqueueCmd) arguments() (any, error) {
	if c.Args == "" {
		return nil, nil
	}
	if !json.Valid([]byte(c.Args)) {
		return nil, usagef("ARGS-JSON is not valid JSON: %.60q; quote it for the shell, as in '{\"name\":\"value\"}'", c.Args)
	}
	return json.RawMessage(c.Args), nil
}

// sharedOptions are those that a task and a schedule have in common: nil is left out.
func sharedOptions(queueName, backend *string, priority *int, keepSuccessful, keepFailed *time.Duration) (options []queue.Option, err error) {
	if queueName != nil {
		options = append(options, queue.OnQueue(*queueName))
	}
	if backend != nil {
		options = append(options, queue.OnBackend(*backend))
	}
	if priority != nil {
		options = append(options, queue.Priority(*priority))
	}
	switch {
	case keepSuccessful != nil && keepFailed != nil:
		options = append(options, queue.Keep(*keepSuccessful, *keepFailed))
	case keepSuccessful != nil:
		return nil, config.Problemf("--keep-successful", "belongs together with --keep-failed: give both or neither")
	case keepFailed != nil:
		return nil, config.Problemf("--keep-failed", "belongs together with --keep-successful: give both or neither")
	}
	return options, nil
}

func (c *enqueueCmd) options() ([]queue.Option, error) {
	options, err := sharedOptions(c.Queue, c.Backend, c.Priority, c.KeepSuccessful, c.KeepFailed)
	if err != nil {
		return nil, err
	}
	if c.ID != nil {
		id, err := parseTaskID(*c.ID)
		if err != nil {
			return nil, config.Problemf("--id", ": %s", err)
		}
		options = append(options, queue.WithID(id))
	}
	if c.Group != nil {
		id, err := parseTaskID(*c.Group)
		if err != nil {
			return nil, config.Problemf("--group", ": %s", err)
		}
		options = append(options, queue.InGroup(id))
	}
	key, err := api.Unique{Key: c.UniqueKey, For: c.UniqueFor, OnConflict: c.OnConflict}.Option("--unique-key", "--unique-for", "--on-conflict")
	if err != nil {
		return nil, usagef("%w", err)
	}
	if key != nil {
		options = append(options, key)
	}
	if options, err = c.expiry(options); err != nil || c.RunAfter == "" {
		return options, err
	}
	if delay, err := config.ParseDuration(c.RunAfter); err == nil {
		return append(options, queue.Delay(delay)), nil
	}
	at, err := api.ParseTime(c.RunAfter)
	if err != nil {
		return nil, config.Problemf("--run-after", "must be a time such as 2026-01-31T15:04:05Z, a duration such as 90s or 2h, or a number of seconds, not %.60q", c.RunAfter)
	}
	return append(options, queue.RunAfter(at)), nil
}

// expiry adds the option that says when the task expires.
func (c *enqueueCmd) expiry(options []queue.Option) ([]queue.Option, error) {
	if c.Expires == "" {
		return options, nil
	}
	if in, err := config.ParseDuration(c.Expires); err == nil && in > 0 {
		return append(options, queue.ExpiresIn(in)), nil
	}
	at, err := api.ParseTime(c.Expires)
	if err != nil {
		return nil, config.Problemf("--expires", "must be a time such as 2026-01-31T15:04:05Z, a duration longer than 0 such as 90s or 2h, or a number of seconds, not %.60q", c.Expires)
	}
	return append(options, queue.ExpiresAt(at)), nil
}

// sayExisted says that the task is not a new one: its ID, or its result, does not.
func (c *enqueueCmd) sayExisted(p *program, handle *queue.Handle) {
	switch {
	case !handle.Existed:
	case c.ID != nil && strings.EqualFold(*c.ID, handle.ID.String()):
		p.say("task %s was stored before: nothing new was", handle.ID)
	case c.OnConflict != nil && *c.OnConflict == "replace":
		p.say("task %s had the unique_key %q already, and was replaced", handle.ID, handle.Row.UniqueKey)
	default:
		p.sayHeld(handle)
	}
}

// sayHeld says which task holds the unique key of one that was not stored.
func (p *program) sayHeld(handle *queue.Handle) {
	p.say("task %s, which is %s, holds the unique_key %q: nothing new was stored", handle.ID, handle.Row.Status, handle.Row.UniqueKey)
}

// inFlags names the flag of a time of expiry, where the error begins with the field.
func (c *enqueueCmd) inFlags(err error) error {
	for _, field := range []string{"expires_in", "expires_at"} {
		if rest, found := strings.CutPrefix(fmt.Sprint(err), field+" "); found && errors.Is(err, queue.ErrInvalid) {
			return config.Problemf("--expires", "%s", strings.Replace(rest, "run_after", "--run-after", 1))
		}
	}
	return err
}

// wait prints the result of the task; or, if it could not wait for the end, the ID of
// the task, which is stored and will run.
func (c *enqueueCmd) wait(ctx context.Context, p *program, app *App, handle *queue.Handle) error {
	var row *queue.Row
	var err error
	if app.mode == config.ModeLocal {
		row, err = p.runHere(ctx, app, handle)
	} else {
		row, err = app.client.Wait(ctx, handle.ID)
	}
	if ctx.Err() != nil && err != nil {
		err = errInterrupted
	}
	if err != nil {
		return errors.Join(c.printHandle(p, handle), err)
	}
	if err := p.printResult(row, c.JSON); err != nil {
		return err
	}
	if row.Status != queue.StatusSuccessful {
		return errSilent // the result shows it
	}
	return nil
}
