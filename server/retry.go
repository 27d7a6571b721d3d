package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/problems"
)

type retryCmd struct {
	ID string `arg:"" optional:"" help:"The task's ID; or --all."`
	filterFlags
	All    bool `help:"Retry all FAILED tasks that the other flags choose."`
	DryRun bool `help:"Only count, with --all."`
	Yes    bool `help:"Do not ask, with --all. Required without a terminal."`
	JSON   bool `name:"json" help:"Print JSON."`
}

// Help describes what a retry changes, and shows examples.
func (*retryCmd) Help() string {
	return `Makes FAILED tasks READY, with at least one attempt left, and dispatches them.
Their errors are kept. The audit log of the admin pages shows who did it.

Examples:
  {name} retry 01890a5d-ac96-774b-bcce-b302099a8057
  {name} retry --all --task {task} --since 24h
  {name} retry --all --task {task} --yes`
}

// retryAnswer is what --json prints.
type retryAnswer struct {
	Retried      int        `json:"retried"`
	Undispatched int        `json:"undispatched"`      // of these; the sweeper dispatches them
	Locked       int        `json:"locked"`            // locked by another transaction, and not changed
	Taken        int        `json:"taken,omitempty"`   // not changed, because live tasks hold their unique keys
	Dropped      int        `json:"dropped,omitempty"` // not changed, because their arguments are gone
	Result       *queue.Row `json:"result,omitempty"`
}

// Run retries one task or many. Nothing to retry is a failure only for one task.
func (c *retryCmd) Run(ctx context.Context, p *program) error {
	selection, err := c.read(p)
	if err != nil {
		return err
	}
	app, err := p.openToChange(ctx, true)
	if err != nil {
		return err
	}
	defer app.close()
	if !c.All {
		return c.one(ctx, p, app.client, selection)
	}
	return c.all(ctx, p, app.client, selection)
}

func (c *retryCmd) read(p *program) (s queue.Selection, err error) {
	if s, err = c.selection(p, time.Now()); err != nil {
		return s, err
	}
	s.View = queue.ViewFailed
	switch {
	case c.All && c.ID != "":
		return s, usagef("retry takes the ID of one task, or --all, and not both")
	case !c.All && c.ID == "":
		return s, usagef("retry needs the ID of a task, or --all for the FAILED tasks that its flags choose; usage: %s retry ID | --all [flags]", p.name)
	case !c.All && c.DryRun:
		return s, config.Problemf("--dry-run", "counts for --all: leave it out to retry one task")
	case c.All && !c.Yes && !c.DryRun && (c.JSON || !isTerminal(p.stdin)):
		return s, usagef("retry --all asks before it changes tasks, and can ask only on a terminal: add --yes, or --dry-run to count them")
	case c.All:
		return s, nil
	}
	id, err := parseTaskID(c.ID)
	s.IDs = []uuid.UUID{id}
	return s, err
}

// one retries one task, and reports what is in the way if it cannot.
func (c *retryCmd) one(ctx context.Context, p *program, client *queue.Client, s queue.Selection) error {
	id := s.IDs[0]
	row, err := client.Get(ctx, id)
	if err != nil {
		return p.located(id, p.inJSON(c.JSON, err))
	}
	if row.Status != queue.StatusFailed {
		return c.refused(p, row, queue.ActionResult{}, fmt.Errorf("the task is %s, and only FAILED tasks are retried", row.Status))
	}
	if row.Dropped() {
		return c.refused(p, row, queue.ActionResult{Dropped: 1}, row.NotRetried())
	}
	acted, err := client.Act(ctx, c.request(p, s, "task "+id.String(), 1), nil)
	if err != nil {
		return p.inJSON(c.JSON, err)
	}
	switch {
	case acted.Done == 0 && acted.Locked > 0:
		return c.refused(p, row, acted, queue.ErrLocked)
	case acted.Done == 0 && acted.Taken > 0:
		return c.refused(p, row, acted, taken(ctx, client, row))
	case acted.Done == 0:
		return c.refused(p, row, acted, fmt.Errorf("the other flags do not choose this task (its name is %s, its queue %s)", row.Task, row.Queue))
	}
	if c.JSON {
		row, err := client.Get(ctx, id) // the task is retried whether or not it can be read
		return errors.Join(p.printJSON(c.answer(row, acted)), err)
	}
	_, err = fmt.Fprintf(p.stdout, "%s is READY again\n", id)
	p.warnUndispatched(acted)
	return err
}

// taken says which task keeps one from being retried by its key, if that can be read.
func taken(ctx context.Context, client *queue.Client, row *queue.Row) error {
	holder, err := client.KeyHolder(ctx, row)
	if err != nil || holder == nil { // it may have ended meanwhile
		return fmt.Errorf("another task that has not ended holds its unique_key %q: wait for its end, or cancel it", row.UniqueKey)
	}
	return fmt.Errorf("task %s, which is %s, holds its unique_key %q: wait for its end, or cancel it", holder.ID, holder.Status, row.UniqueKey)
}

// answer is what --json prints of one task, which is nil if it could not be read.
func (c *retryCmd) answer(row *queue.Row, acted queue.ActionResult) retryAnswer {
	return retryAnswer{Retried: acted.Done, Undispatched: acted.Undispatched, Locked: acted.Locked, Taken: acted.Taken, Dropped: acted.Dropped, Result: row}
}

// refused reports why one task was not retried; with --json it prints the task too.
func (c *retryCmd) refused(p *program, row *queue.Row, acted queue.ActionResult, why error) error {
	err := fmt.Errorf("not retried: %w", why)
	if c.JSON {
		return errors.Join(p.printJSON(c.answer(row, acted)), err)
	}
	return err
}

// countMost bounds the count that a question shows.
const countMost = 100_000

// all retries what matches, and never more than was confirmed.
func (c *retryCmd) all(ctx context.Context, p *program, client *queue.Client, s queue.Selection) error {
	most := 0
	if err := c.warnUnknown(ctx, p, client, s); err != nil {
		return p.inJSON(c.JSON, err)
	}
	if c.DryRun || !c.Yes {
		n, err := client.CountMatching(ctx, queue.ActionRetry, s, countMost)
		if err != nil || c.DryRun {
			return c.counted(p, n, err)
		}
		words := fmt.Sprint(n)
		if most = n; n == countMost {
			most, words = 0, words+" or more"
		}
		if n == 0 {
			fmt.Fprintln(p.stdout, "0 tasks retried")
			return nil
		}
		if !p.confirm(ctx, fmt.Sprintf("Retry %s tasks (%s)?", words, describe(s))) {
			return ctx.Err()
		}
	}
	bar, shown := p.progress("tasks retried"), 0
	acted, err := client.Act(ctx, c.request(p, s, describe(s), most), func(done int) {
		bar.add(done - shown)
		shown = done
	})
	bar.end()
	if err != nil {
		return p.inJSON(c.JSON, fmt.Errorf("%s retried, then: %w", tasks(acted.Done), err))
	}
	if c.JSON {
		err = p.printJSON(c.answer(nil, acted))
	} else {
		_, err = fmt.Fprintf(p.stdout, "%s retried\n", tasks(acted.Done))
		p.warnUndispatched(acted)
		p.saySearched(s.ByContents() && s.Hidden != nil, acted.Unreadable)
	}
	if err == nil && acted.More {
		err = errors.New("interrupted: more tasks are left")
	}
	return err
}

// warnUnknown says, before anything is changed, how many of the tasks nothing here can run.
func (c *retryCmd) warnUnknown(ctx context.Context, p *program, client *queue.Client, s queue.Selection) error {
	operator, err := client.Operator()
	if err != nil {
		return err
	}
	failures, err := operator.Failures(ctx, time.Unix(0, 0), 1000)
	if err != nil {
		return err
	}
	registered := make(map[string]bool)
	for _, info := range client.Registry().Tasks() {
		for _, name := range append(info.Aliases, info.Name) {
			registered[name] = true
		}
	}
	for _, name := range problems.UnknownNames(failures, s.Task, func(name string) bool { return registered[name] }) {
		of := s
		of.Task = name
		n, err := client.CountMatching(ctx, queue.ActionRetry, of, countMost)
		if err != nil {
			return err
		}
		if n > 0 {
			p.say("warning: %s named %s cannot run here, because this program does not register the name; retried, they wait until one that does is deployed", tasks(n), name)
		}
	}
	return nil
}

func (c *retryCmd) counted(p *program, n int, err error) error {
	if err != nil {
		return p.inJSON(c.JSON, err)
	}
	if c.JSON {
		return p.printJSON(countAnswer{n, true})
	}
	p.nameDatabase(false)
	words := tasks(n)
	if n == countMost {
		words = fmt.Sprintf("%d or more tasks", n)
	}
	_, err = fmt.Fprintf(p.stdout, "%s would be retried\n", words)
	return err
}

func (c *retryCmd) request(p *program, s queue.Selection, target string, most int) queue.ActRequest {
	return queue.ActRequest{Action: queue.ActionRetry, Selection: s, Limit: most, Actor: commandLineUser(p.config.Env.Get), Target: target}
}

// warnUndispatched reports what a retry left for others to finish.
func (p *program) warnUndispatched(acted queue.ActionResult) {
	if acted.Undispatched > 0 {
		p.say("warning: %d of them were not dispatched yet; the next sweep does it", acted.Undispatched)
	}
	if acted.Locked > 0 {
		p.say("warning: %s locked by other transactions and not changed; retry them later", tasks(acted.Locked))
	}
	if acted.Taken > 0 {
		p.say("warning: %s not changed, because tasks that have not ended hold their unique keys", tasks(acted.Taken))
	}
	if acted.Dropped > 0 {
		p.say("warning: %s not changed, because their retention dropped their arguments when they ended", tasks(acted.Dropped))
	}
}

// tasks is a number of tasks in words.
func tasks(n int) string {
	if n == 1 {
		return "1 task"
	}
	return fmt.Sprintf("%d tasks", n)
}

// commandLineUser names who runs a command, for the audit log: the system's user,
// or what the environment has where the system knows none.
func commandLineUser(getenv func(string) string) string {
	name := getenv("USER")
	if current, err := user.Current(); err == nil {
		name = current.Username
	}
	if name == "" {
		name = fmt.Sprintf("uid %d", os.Getuid())
	}
	return "command line (" + name + ")"
}
