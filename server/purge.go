package server

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

type purgeCmd struct {
	Days      int     `default:"0" accepts:"from 0 to 36500" help:"Only tasks that finished more than this many days ago."`
	Status    string  `default:"SUCCESSFUL,FAILED" help:"Final statuses, comma-separated: SUCCESSFUL, FAILED, CANCELLED."`
	Task      *string `aliases:"task-path" placeholder:"NAME" help:"Only tasks of this name (also --task-path)."`
	BatchSize int     `default:"1000" accepts:"from 1 to 10000" help:"Tasks deleted in one transaction, up to 10000."`
	DryRun    bool    `help:"Only count the tasks."`
	Yes       bool    `help:"Do not ask for confirmation on a terminal."`
	JSON      bool    `name:"json" help:"Print what the endpoint answers."`
}

// Help shows examples.
func (*purgeCmd) Help() string {
	return `Examples:
  {name} purge --days 30 --dry-run
  {name} purge --days 7 --status SUCCESSFUL --yes`
}

// Run deletes finished tasks in batches. A signal cancels the current batch; the
// batches before it stay deleted.
func (c *purgeCmd) Run(ctx context.Context, p *program) error {
	request, err := c.request()
	if err != nil {
		return err
	}
	app, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer app.close()
	if c.DryRun || !c.Yes && !c.JSON && isTerminal(p.stdin) {
		n, err := app.client.CountPurgeable(ctx, request)
		if err != nil || c.DryRun {
			return c.counted(p, n, err)
		}
		if !p.confirm(ctx, fmt.Sprintf("Delete %d tasks (%s)?", n, c.Status)) {
			return ctx.Err()
		}
	}
	bar, shown := p.progress("tasks deleted"), 0
	deleted, more, err := app.client.Purge(ctx, request, func(deleted int) {
		bar.add(deleted - shown)
		shown = deleted
	})
	bar.end()
	if err != nil {
		return p.inJSON(c.JSON, fmt.Errorf("%d tasks were deleted, then: %w", deleted, err))
	}
	return c.purged(p, deleted, more)
}

// purged prints how many tasks were deleted. more means that a signal stopped it.
func (c *purgeCmd) purged(p *program, deleted int, more bool) error {
	var err error
	if c.JSON {
		err = p.printJSON(struct {
			Deleted int  `json:"deleted"`
			DryRun  bool `json:"dry_run"`
			More    bool `json:"more,omitempty"`
		}{deleted, false, more})
	} else {
		_, err = fmt.Fprintf(p.stdout, "%s deleted\n", tasks(deleted))
	}
	if err == nil && more {
		err = errors.New("interrupted: more tasks are left")
	}
	return err
}

// countAnswer is what --dry-run --json prints.
type countAnswer struct {
	Count  int  `json:"count"`
	DryRun bool `json:"dry_run"`
}

func (c *purgeCmd) request() (queue.PurgeRequest, error) {
	request := queue.PurgeRequest{
		Statuses: api.FinalStatuses(c.Status), Age: time.Duration(c.Days) * 24 * time.Hour, Limit: c.BatchSize,
	}
	if c.Task != nil {
		request.Task = *c.Task
	}
	switch {
	case c.Task != nil && *c.Task == "": // from a shell variable that is not set
		return request, config.Problemf("--task", "must be the name of a task; leave it out for all")
	case len(request.Statuses) != strings.Count(c.Status, ",")+1:
		return request, config.Problemf("--status", "must list SUCCESSFUL, FAILED or CANCELLED, each once, not %q", c.Status)
	}
	return request, cmp.Or(within("--days", c.Days, 0, api.MaxDays), within("--batch-size", c.BatchSize, 1, api.MaxBatch))
}

// within returns a problem unless least ≤ value ≤ most.
func within(flag string, value, least, most int) error {
	if value < least || value > most {
		return config.Problemf(flag, "must be from %d to %d, not %d", least, most, value)
	}
	return nil
}

func (c *purgeCmd) counted(p *program, n int, err error) error {
	if err != nil {
		return p.inJSON(c.JSON, err)
	}
	if c.JSON {
		return p.printJSON(countAnswer{n, true})
	}
	p.nameDatabase(false)
	fmt.Fprintf(p.stdout, "%d tasks would be deleted\n", n)
	return nil
}

// confirm asks for a yes on the terminal; anything else is a no.
func (p *program) confirm(ctx context.Context, question string) bool {
	fmt.Fprintf(p.stderr, "%s [y/N] ", question)
	answer, _ := bufio.NewReader(p.input(ctx)).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}
