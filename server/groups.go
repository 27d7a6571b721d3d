package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/fatih/color"
	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

type groupsCmd struct {
	Action string `arg:"" optional:"" enum:"list,show,create,close,cancel" default:"list" help:"list (the default), show, create, close or cancel."`
	Name   string `arg:"" optional:"" name:"id" help:"The group's ID, for show, close and cancel; the name of a new group, for create."`

	ID          *string `name:"id" placeholder:"UUID" help:"create: the group's ID, so that the command can be repeated."`
	OnSuccess   *string `placeholder:"NAME" help:"create: the task that is enqueued when all tasks of the group have succeeded."`
	SuccessArgs *string `placeholder:"JSON" help:"create: its arguments. Default: null."`
	OnFailure   *string `placeholder:"NAME" help:"create: the task that is enqueued when the first task of the group has FAILED or was cancelled."`
	FailureArgs *string `placeholder:"JSON" help:"create: its arguments. Default: null."`

	Limit *int `placeholder:"N" accepts:"from 1 to 1000" help:"list: how many groups, those created last first. Default: 50."`
	Yes   bool `help:"cancel: do not ask for confirmation. Required without a terminal."`
	JSON  bool `name:"json" help:"Print what the endpoint answers."`
}

// Help says what a group is, and shows examples.
func (*groupsCmd) Help() string {
	return `A group is a set of tasks. Tasks are added with enqueue --group until the group is
closed. When it is closed and all of its tasks have succeeded, one task is enqueued,
and when the first one has FAILED or was cancelled, another. cancel cancels the tasks
that have not ended, and does not close the group.

Examples:
  {name} groups create import --on-success {task} --on-failure {task}
  {name} enqueue {task} --group 01890a5d-ac96-774b-bcce-b302099a8057
  {name} groups close 01890a5d-ac96-774b-bcce-b302099a8057
  {name} groups show 01890a5d-ac96-774b-bcce-b302099a8057`
}

// Run does the action.
func (c *groupsCmd) Run(ctx context.Context, p *program) error {
	id, err := c.check(p)
	if err != nil {
		return err
	}
	open := p.connect
	if c.Action == "create" || c.Action == "close" || c.Action == "cancel" {
		open = func(ctx context.Context) (*App, error) { return p.openToChange(ctx, c.Action != "create") }
	}
	app, err := open(ctx)
	if err != nil {
		return err
	}
	defer app.close()
	switch c.Action {
	case "list":
		return c.list(ctx, p, app.client)
	case "create":
		return c.create(ctx, p, app.client)
	case "cancel":
		return c.cancel(ctx, p, app.client, id)
	}
	call, words := app.client.Group, ""
	if c.Action == "close" {
		call, words = app.client.CloseGroup, "closed"
	}
	g, err := call(ctx, id)
	if err != nil {
		return c.failed(p, err)
	}
	return c.print(p, g, words)
}

// check refuses flags and arguments that do not belong together, and reads the ID.
func (c *groupsCmd) check(p *program) (id uuid.UUID, err error) {
	for flag, given := range map[string]bool{
		"--id": c.ID != nil, "--on-success": c.OnSuccess != nil, "--success-args": c.SuccessArgs != nil, "--on-failure": c.OnFailure != nil, "--failure-args": c.FailureArgs != nil,
	} {
		if given && c.Action != "create" {
			return id, config.Problemf(flag, "belongs to groups create, and not to groups %s", c.Action)
		}
	}
	switch {
	case c.Limit != nil && c.Action != "list":
		return id, config.Problemf("--limit", "belongs to groups list, and not to groups %s", c.Action)
	case c.Yes && c.Action != "cancel":
		return id, config.Problemf("--yes", "belongs to groups cancel, and not to groups %s", c.Action)
	case c.Limit != nil && (*c.Limit < 1 || *c.Limit > 1000):
		return id, config.Problemf("--limit", "must be a whole number from 1 to 1000, not %d", *c.Limit)
	case c.SuccessArgs != nil && c.OnSuccess == nil:
		return id, config.Problemf("--success-args", "belongs together with --on-success")
	case c.FailureArgs != nil && c.OnFailure == nil:
		return id, config.Problemf("--failure-args", "belongs together with --on-failure")
	case c.Action == "list" && c.Name != "":
		return id, usagef("groups list takes no ID; usage: %s groups show ID", p.name)
	case c.Action == "list" || c.Action == "create":
		return id, nil
	case c.Name == "":
		return id, usagef("groups %s needs the ID of a group; usage: %s groups %s ID", c.Action, p.name, c.Action)
	case c.Action == "cancel" && !c.Yes && (c.JSON || !isTerminal(p.stdin)):
		return id, usagef("groups cancel asks before it cancels, and can ask only on a terminal: add --yes")
	}
	return parseTaskID(c.Name)
}

func (c *groupsCmd) list(ctx context.Context, p *program, client *queue.Client) error {
	limit := 50
	if c.Limit != nil {
		limit = *c.Limit
	}
	page, err := client.Groups(ctx, queue.GroupsRequest{Limit: limit})
	if err != nil {
		return p.inJSON(c.JSON, err)
	}
	if c.JSON {
		return p.printJSON(api.NewGroupsAnswer(page))
	}
	p.nameDatabase(false)
	t := p.newTable()
	t.head("ID", "NAME", "STATE", "TASKS", "READY", "RUNNING", "SUCCESSFUL", "FAILED", "CANCELLED", "CREATED")
	for _, g := range page.Groups {
		t.row(plain(g.ID.String()), plain(g.Name), coloured(string(g.State()), groupColour(g.State())), plain(fmt.Sprint(g.Total)), plain(fmt.Sprint(g.Ready)), plain(fmt.Sprint(g.Running)),
			plain(fmt.Sprint(g.Successful)), plain(fmt.Sprint(g.Failed)), plain(fmt.Sprint(g.Cancelled)), plain(when(g.CreatedAt)))
	}
	if err := t.print(p.stdout); err != nil {
		return err
	}
	if page.Next != "" {
		p.say("these are the %d that were created last; --limit shows more", len(page.Groups))
	}
	return nil
}

// groupColour is how a state is shown on a terminal.
func groupColour(state queue.GroupState) color.Attribute {
	switch state {
	case queue.GroupSucceeded:
		return color.FgGreen
	case queue.GroupFailed:
		return color.FgRed
	}
	return color.FgYellow
}

func (c *groupsCmd) create(ctx context.Context, p *program, client *queue.Client) error {
	spec := queue.GroupSpec{Name: c.Name}
	var err error
	if c.ID != nil {
		if spec.ID, err = parseTaskID(*c.ID); err != nil {
			return config.Problemf("--id", ": %s", err)
		}
	}
	if spec.OnSuccess, err = groupEnd("--success-args", c.OnSuccess, c.SuccessArgs); err != nil {
		return err
	}
	if spec.OnFailure, err = groupEnd("--failure-args", c.OnFailure, c.FailureArgs); err != nil {
		return err
	}
	g, err := client.CreateGroup(ctx, spec)
	existed := err == nil && g.Existed
	if existed {
		g, err = client.Group(ctx, g.ID)
	}
	if err != nil {
		return p.inJSON(c.JSON, refused(err))
	}
	if c.JSON {
		return p.printJSON(api.GroupAnswer{Group: api.NewGroupBody(g), Existed: existed})
	}
	if existed {
		p.say("this group exists already; nothing was created")
	}
	_, err = fmt.Fprintln(p.stdout, g.ID)
	return err
}

// groupEnd is what a new group enqueues.
func groupEnd(flag string, task, args *string) (*queue.Request, error) {
	if task == nil {
		return nil, nil
	}
	request := &queue.Request{Task: *task}
	if args != nil {
		if !json.Valid([]byte(*args)) {
			return nil, config.Problemf(flag, "must be JSON, not %.60q: quote it for the shell", *args)
		}
		request.Args = json.RawMessage(*args)
	}
	return request, nil
}

func (c *groupsCmd) cancel(ctx context.Context, p *program, client *queue.Client, id uuid.UUID) error {
	g, err := client.Group(ctx, id)
	if err != nil {
		return c.failed(p, err)
	}
	if !c.Yes && !p.confirm(ctx, fmt.Sprintf("Cancel %s of group %s (%s)?", tasks(g.Unfinished()), id, g.Name)) {
		return ctx.Err()
	}
	bar, shown := p.progress("tasks cancelled"), 0
	done, err := client.CancelGroup(ctx, id, commandLineUser(p.config.Env.Get), func(n int) {
		bar.add(n - shown)
		shown = n
	})
	bar.end()
	if err != nil {
		return c.failed(p, err)
	}
	if g, err = client.Group(context.WithoutCancel(ctx), id); err != nil {
		return c.failed(p, err)
	}
	if c.JSON {
		err = p.printJSON(api.CancelGroupAnswer{Cancelled: done.Done, Locked: done.Locked, More: done.More, Group: api.NewGroupBody(g)})
	} else {
		_, err = fmt.Fprintf(p.stdout, "%s cancelled\n", tasks(done.Done))
	}
	if done.Locked > 0 {
		p.say("warning: %s left as they are, because another transaction has locked them; repeat the command", tasks(done.Locked))
	}
	if err == nil && done.More {
		err = errors.New("interrupted: more tasks are left; the same command continues")
	}
	return err
}

// print prints one group.
func (c *groupsCmd) print(p *program, g *queue.Group, words string) error {
	if c.JSON {
		return p.printJSON(api.GroupAnswer{Group: api.NewGroupBody(g)})
	}
	var lines strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&lines, "%-12s %s\n", name, value)
		}
	}
	if words != "" {
		fmt.Fprintf(&lines, "group %s is %s\n", g.ID, words)
	} else {
		line("id", g.ID.String())
	}
	line("name", g.Name)
	line("state", string(g.State()))
	line("tasks", fmt.Sprintf("%d: %d ready, %d running, %d successful, %d failed, %d cancelled", g.Total, g.Ready, g.Running, g.Successful, g.Failed, g.Cancelled))
	line("created", when(g.CreatedAt))
	line("closed", when(g.ClosedAt))
	for _, end := range []struct {
		name    string
		to      *queue.Completion
		success bool
		done    bool
	}{{"on success", g.OnSuccess, true, !g.SucceededAt.IsZero()}, {"on failure", g.OnFailure, false, !g.FailedAt.IsZero()}} {
		switch {
		case end.to == nil:
		case end.done:
			line(end.name, fmt.Sprintf("%s was enqueued: %s", end.to.Task, queue.CompletionID(g.ID, end.success)))
		default:
			line(end.name, end.to.Task)
		}
	}
	_, err := fmt.Fprint(p.stdout, lines.String())
	return err
}

// failed is the error of an action.
func (c *groupsCmd) failed(p *program, err error) error {
	if !errors.Is(err, queue.ErrGroupNotFound) {
		return p.inJSON(c.JSON, err)
	}
	named := fmt.Errorf("there is no group %s (%s groups lists them)", c.Name, p.name)
	if c.JSON {
		return errors.Join(p.printJSON(api.ErrorAnswer(queue.ErrGroupNotFound).Body), named)
	}
	return named
}
