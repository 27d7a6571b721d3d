package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/fatih/color"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

type queuesCmd struct {
	Action string `arg:"" optional:"" enum:"list,pause,resume,limit" default:"list" help:"list (the default), pause, resume or limit."`
	Queue  string `arg:"" optional:"" name:"name" help:"The queue, for pause, resume and limit."`
	Reason string `placeholder:"TEXT" help:"Why, with pause: lists of queues and the audit log show it."`
	limitFlags
	JSON bool `name:"json" help:"Print what the endpoint answers."`
}

// Help describes what a pause and a limit do, and shows examples.
func (*queuesCmd) Help() string {
	return `When pause has returned, no task of the queue is started anywhere until the queue
is resumed. Tasks that run end normally. Tasks that wait are set aside, and cost
other queues nothing. resume dispatches them. Either may be repeated: that
continues what was interrupted.

limit bounds how many tasks of the queue run at once, and how many start within a
time; others wait. A part that is left out stays as it is.

Examples:
  {name} queues
  {name} queues pause emails --reason "the provider is down"
  {name} queues resume emails
  {name} queues limit emails --running 20 --starts 100/1m
  {name} queues limit emails --starts none`
}

// Run lists the queues, or changes one.
func (c *queuesCmd) Run(ctx context.Context, p *program) error {
	if err := c.check(p); err != nil {
		return err
	}
	if c.Action == "list" {
		app, err := p.connect(ctx)
		if err != nil {
			return err
		}
		defer app.close()
		return c.list(ctx, p, app.client)
	}
	if c.Action == "limit" {
		change := queue.LimitChange{Kind: queue.LimitQueue, Name: c.Queue}
		if err := c.parse(p.name+" queues limit "+c.Queue, &change); err != nil {
			return err
		}
		return changeLimit(ctx, p, change, false, c.JSON)
	}
	app, err := p.openToChange(ctx, true)
	if err != nil {
		return err
	}
	defer app.close()
	return c.change(ctx, p, app.client)
}

func (c *queuesCmd) check(p *program) error {
	switch {
	case c.Action == "list" && c.Queue != "":
		return usagef("queues list takes no name: it lists all queues")
	case c.Action != "list" && c.Queue == "":
		return usagef("queues %s needs the name of a queue; usage: %s queues %s NAME", c.Action, p.name, c.Action)
	case c.Action != "pause" && c.Reason != "":
		return config.Problemf("--reason", "is why a queue is paused: leave it out with %s", c.Action)
	case c.Action != "limit" && c.given() != "":
		return config.Problemf(c.given(), "belongs to queues limit, and not to queues %s", c.Action)
	}
	return nil
}

func (c *queuesCmd) list(ctx context.Context, p *program, client *queue.Client) error {
	states, err := client.QueueStates(ctx)
	if err != nil {
		return p.inJSON(c.JSON, err)
	}
	if c.JSON {
		return p.printJSON(map[string]any{"queues": states})
	}
	p.nameDatabase(false)
	t := p.newTable()
	t.head("QUEUE", "PENDING", "RUNNING", "AT MOST", "STARTS", "PAUSED SINCE", "BY", "REASON")
	for _, s := range states {
		t.row(plain(s.Name), plain(fmt.Sprint(s.Pending)), plain(fmt.Sprint(s.Running)), plain(runningWords(s.Limit)), plain(rateWords(s.Rate)),
			coloured(when(s.PausedAt), color.FgYellow), plain(s.PausedBy), plain(s.PauseReason))
	}
	return t.print(p.stdout)
}

// change pauses or resumes a queue, and then all of its rows.
func (c *queuesCmd) change(ctx context.Context, p *program, client *queue.Client) error {
	request := queue.GateRequest{Queue: c.Queue, Actor: commandLineUser(p.config.Env.Get), Reason: c.Reason}
	do, words := client.PauseQueue, "set aside"
	if c.Action == "resume" {
		do, words = client.ResumeQueue, "made claimable"
	}
	bar, shown := p.progress("tasks "+words), 0
	result, err := do(ctx, request, func(rows int) {
		bar.add(rows - shown)
		shown = rows
	})
	bar.end()
	if err != nil {
		return p.inJSON(c.JSON, err)
	}
	if c.JSON {
		err = p.printJSON(api.NewGateBody(result, c.Action == "pause"))
	} else {
		_, err = fmt.Fprintf(p.stdout, "%s; this command has %s %s\n", c.outcome(result), words, tasks(result.Rows))
	}
	if c.Action == "pause" && result.Changed && result.Rows == 0 {
		if known, err := client.KnowsQueue(ctx, c.Queue); err == nil && !known {
			p.say("warning: no task of this program, no allow-list and no recent task has the queue %[1]s: is the name right? %[2]s queues lists those with tasks (a name is the one that tasks have, and not that of a Cloud Tasks queue); %[2]s queues resume %[1]s ends this pause", c.Queue, p.name)
		}
	}
	if result.Undispatched > 0 {
		p.say("warning: %d of them were not dispatched yet; the next sweep does it", result.Undispatched)
	}
	switch {
	case err != nil || !result.More:
	case result.Paced:
		p.say("more tasks are left: workers and the sweeper make them claimable at the rate of the queue")
	default:
		err = errors.New("interrupted: more tasks are left; workers and the sweeper continue, and so does the same command")
	}
	return err
}

func (c *queuesCmd) outcome(r queue.GateResult) string {
	switch {
	case c.Action == "pause" && r.Changed:
		return "queue " + c.Queue + " is paused"
	case c.Action == "pause":
		text := fmt.Sprintf("queue %s was paused already, by %s at %s", c.Queue, r.Gate.PausedBy, when(r.Gate.PausedAt))
		if r.Gate.PauseReason != "" {
			text += ": " + printable(r.Gate.PauseReason)
		}
		if c.Reason != "" && c.Reason != r.Gate.PauseReason {
			text += " (the reason stays as it was)"
		}
		return text
	case r.Changed:
		return "queue " + c.Queue + " is resumed"
	}
	return "queue " + c.Queue + " was not paused"
}
