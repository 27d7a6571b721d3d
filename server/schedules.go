package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

type schedulesCmd struct {
	Action   string  `arg:"" optional:"" enum:"list,add,remove,pause,resume,run" default:"list" help:"list (the default), add, remove, pause, resume or run."`
	Name     string  `arg:"" optional:"" help:"The schedule's name. Without it, list lists all; with it, also the next times and the history."`
	Task     *string `placeholder:"NAME" help:"add: the task."`
	Spec     *string `placeholder:"SPEC" help:"add: five cron fields, @hourly, @daily, @weekly, @monthly or @yearly, or @every and a duration, such as '@every 90s'."`
	Zone     *string `placeholder:"ZONE" help:"add: time zone, such as Europe/Berlin. Default: UTC."`
	Args     *string `placeholder:"JSON" help:"add: arguments of the task. Default: null."`
	CatchUp  *string `placeholder:"HOW" help:"add: what happens with missed times: skip, one (the default) or all."`
	Overlap  *string `placeholder:"HOW" help:"add: while an earlier task has not ended: allow (the default) or skip."`
	Queue    *string `placeholder:"NAME" help:"add: queue, instead of the task's own."`
	Priority *int    `placeholder:"N" accepts:"from -100 to 100" help:"add: -100 to 100, higher first, instead of the task's own."`
	Backend  *string `placeholder:"NAME" help:"add: backend, instead of the task's own."`
	Paused   bool    `help:"add: pause it at once."`

	KeepSuccessful *time.Duration `placeholder:"24h" help:"add: how long a task is kept after it succeeded; with --keep-failed."`
	KeepFailed     *time.Duration `placeholder:"720h" help:"add: how long a task is kept after it FAILED."`
	ExpiresIn      *time.Duration `placeholder:"10m" help:"add: do not start a task this long after its time or later."`
	UniqueKey      *string        `placeholder:"KEY" help:"add: while a task of this name holds this key, none is enqueued."`
	UniqueFor      *string        `placeholder:"TIME" help:"add: how long it holds the key: unfinished (the default), kept or 1h."`

	JSON bool `name:"json" help:"Print what the endpoint answers."`
}

// Help describes the actions, and shows examples.
func (*schedulesCmd) Help() string {
	return `add makes a schedule, or replaces one that was made at run time. Schedules in a
program's code can be paused, resumed and run here, and are changed there. remove
deletes a schedule and its history. run enqueues its task now, also while it is paused.

Examples:
  {name} schedules
  {name} schedules list nightly
  {name} schedules add nightly --task {task} --spec '0 9 * * 1-5' --zone Europe/Berlin
  {name} schedules pause nightly`
}

// Run does the action.
func (c *schedulesCmd) Run(ctx context.Context, p *program) error {
	if err := c.check(); err != nil {
		return err
	}
	app, err := c.open(ctx, p)
	if err != nil {
		return err
	}
	defer app.close()
	actor := commandLineUser(p.config.Env.Get)
	switch c.Action {
	case "add":
		return c.add(ctx, p, app.client, actor)
	case "remove":
		err := app.client.DeleteSchedule(ctx, c.Name, actor)
		return c.done(p, api.DeletedSchedule{Deleted: true}, "removed", c.failed(p, err))
	case "pause":
		s, err := app.client.PauseSchedule(ctx, c.Name, actor)
		return c.changed(p, s, "paused", err)
	case "resume":
		s, err := app.client.ResumeSchedule(ctx, c.Name, actor)
		return c.changed(p, s, "resumed", err)
	case "run":
		return c.run(ctx, p, app.client, actor)
	}
	if c.Name != "" {
		return c.show(ctx, p, app.client)
	}
	return c.list(ctx, p, app.client)
}

// open opens the database. What enqueues a task, or has to know it, needs the whole
// program.
func (c *schedulesCmd) open(ctx context.Context, p *program) (*App, error) {
	if c.Action != "add" && c.Action != "run" {
		return p.connect(ctx)
	}
	return p.openToChange(ctx, c.Action == "run")
}

// check refuses flags and arguments that do not belong together.
func (c *schedulesCmd) check() error {
	switch {
	case c.Action != "list" && c.Name == "":
		return usagef("schedules %s needs the name of a schedule", c.Action)
	case c.Action == "add" && (c.Task == nil || c.Spec == nil):
		return usagef("schedules add needs --task and --spec, as in: schedules add nightly --task NAME --spec '0 9 * * 1-5'")
	case c.Action == "add":
		return nil
	}
	for flag, given := range map[string]bool{
		"--task": c.Task != nil, "--spec": c.Spec != nil, "--zone": c.Zone != nil, "--args": c.Args != nil, "--catch-up": c.CatchUp != nil,
		"--overlap": c.Overlap != nil, "--queue": c.Queue != nil, "--priority": c.Priority != nil, "--backend": c.Backend != nil, "--paused": c.Paused,
		"--keep-successful": c.KeepSuccessful != nil, "--keep-failed": c.KeepFailed != nil, "--expires-in": c.ExpiresIn != nil, "--unique-key": c.UniqueKey != nil,
		"--unique-for": c.UniqueFor != nil,
	} {
		if given {
			return config.Problemf(flag, "belongs to schedules add, and not to schedules %s", c.Action)
		}
	}
	return nil
}

// changed prints a schedule that was changed.
func (c *schedulesCmd) changed(p *program, s *queue.Schedule, done string, err error) error {
	if err != nil {
		return c.failed(p, err)
	}
	if !s.NextAt.IsZero() {
		done += "; next at " + when(s.NextAt)
	}
	for _, warning := range s.Warnings {
		p.say("warning: %s", warning)
	}
	return c.done(p, api.ScheduleAnswer{Schedule: api.ScheduleOf(s), Warnings: s.Warnings}, done, nil)
}

// done prints what was done, or returns err.
func (c *schedulesCmd) done(p *program, answer any, words string, err error) error {
	switch {
	case err != nil:
		return err
	case c.JSON:
		return p.printJSON(answer)
	}
	_, err = fmt.Fprintf(p.stdout, "%s %s\n", c.Name, words)
	return err
}

// failed is the error of an action.
func (c *schedulesCmd) failed(p *program, err error) error {
	if errors.Is(err, queue.ErrNoSchedule) {
		err = fmt.Errorf("there is no schedule %q (%s schedules lists them)", c.Name, p.name)
		if c.JSON {
			return errors.Join(p.printJSON(api.ErrorAnswer(queue.ErrNoSchedule).Body), err)
		}
		return err
	}
	return p.inJSON(c.JSON, refused(err))
}

func (c *schedulesCmd) run(ctx context.Context, p *program, client *queue.Client, actor string) error {
	handle, err := client.RunSchedule(ctx, c.Name, actor)
	if err != nil {
		return c.failed(p, err)
	}
	if handle.Existed {
		p.sayHeld(handle)
	}
	if c.JSON {
		return p.printJSON(api.EnqueueAnswer(handle).Body)
	}
	_, err = fmt.Fprintln(p.stdout, handle.ID)
	return err
}

func (c *schedulesCmd) list(ctx context.Context, p *program, client *queue.Client) error {
	all, err := client.Schedules(ctx)
	if err != nil {
		return c.failed(p, err)
	}
	if c.JSON {
		return p.printJSON(api.SchedulesOf(all))
	}
	p.nameDatabase(false)
	t := p.newTable()
	t.head("NAME", "TASK", "SPEC", "ZONE", "NEXT", "LAST", "STATUS")
	for _, s := range all {
		t.row(plain(s.Name), plain(s.Task), plain(s.Spec), plain(s.Zone), plain(nextOf(s)), plain(lastOf(s, time.Now())), statusCell(s.LastStatus))
	}
	return t.print(p.stdout)
}

// nextOf is a schedule's next time in its zone, or why there is none.
func nextOf(s *queue.Schedule) string {
	switch {
	case s.Removed():
		return "removed from " + s.Program
	case s.Paused():
		return "paused"
	}
	return inZone(s, s.NextAt)
}

// lastOf is a schedule's last time in its zone, marked if it was enqueued ahead of that.
func lastOf(s *queue.Schedule, now time.Time) string {
	last := inZone(s, s.LastAt)
	if s.LastAt.After(now) {
		last += " (enqueued ahead)"
	}
	return last
}

// inZone is a time in the zone of a schedule.
func inZone(s *queue.Schedule, t time.Time) string {
	if zone, err := time.LoadLocation(s.Zone); err == nil && !t.IsZero() {
		t = t.In(zone)
	}
	return when(t)
}

// How many of each schedules list NAME shows.
const (
	shownTimes   = 5
	shownHistory = 20
)

func (c *schedulesCmd) show(ctx context.Context, p *program, client *queue.Client) error {
	if c.JSON {
		details, err := api.DescribeSchedule(ctx, client, c.Name, shownTimes, shownHistory)
		if err != nil {
			return c.failed(p, err)
		}
		return p.printJSON(details)
	}
	s, err := client.Schedule(ctx, c.Name)
	if err != nil {
		return c.failed(p, err)
	}
	history, err := client.Occurrences(ctx, c.Name, shownHistory)
	if err != nil {
		return c.failed(p, err)
	}
	p.nameDatabase(false)
	args := string(s.Args)
	if s.Unreadable != "" {
		args = "encrypted (" + s.Unreadable + ")"
	}
	fmt.Fprintf(p.stdout, "%s: %s at %q in %s, catch_up %s, overlap %s, args %s\n",
		printable(s.Name), printable(s.Task), printable(s.Spec), printable(s.Zone), s.CatchUp, s.Overlap, printable(args))
	body := api.ScheduleOf(s)
	for _, option := range body.List() {
		fmt.Fprintf(p.stdout, "  %s %s\n", option.Name, printable(option.Value))
	}
	fmt.Fprintf(p.stdout, "next: %s\n", nextOf(s))
	for _, at := range s.Times(time.Now(), shownTimes) {
		fmt.Fprintln(p.stdout, "  "+inZone(s, at))
	}
	t := p.newTable()
	t.head("SCHEDULED FOR", "STATUS", "TASK ID", "FINISHED", "LAST ERROR")
	for _, o := range history {
		status, id := statusCell(o.Status), o.TaskID.String()
		switch {
		case o.Skipped != "":
			if status = plain("skipped: " + string(o.Skipped)); o.TaskID == uuid.Nil { // otherwise it held the key
				id = ""
			}
		case o.Status == "":
			status = plain("purged")
		}
		t.row(plain(inZone(s, o.ScheduledFor)), status, plain(id), plain(when(o.FinishedAt)), plain(shorten(o.ErrorText, 80)))
	}
	return t.print(p.stdout)
}

// storeRetry is how long storing the schedules of the code waits after a failure.
const storeRetry = 5 * time.Second

// storeSchedules stores the limits and the schedules of the code, if there are any, when
// the program starts. The sweeper and workers repeat it for limits that could not be set.
func (app *App) storeSchedules(ctx context.Context) {
	if err := app.client.ApplyLimits(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, queue.ErrUnavailable) {
		app.log.Error("the limits of the program's tasks could not be set; workers and the sweeper retry", "error", err)
	}
	for app.config.Registry.HasSchedules() && ctx.Err() == nil {
		err := app.client.StoreSchedules(ctx)
		if err == nil {
			return
		}
		if ctx.Err() == nil && !errors.Is(err, queue.ErrUnavailable) { // the queue has logged that
			app.log.Error("the schedules of the program could not be stored; retrying", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(storeRetry):
		}
	}
}
