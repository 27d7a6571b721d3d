package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

type deleteCmd struct {
	ID   string `arg:"" help:"The task's ID."`
	Yes  bool   `help:"Do not ask for confirmation. Required without a terminal."`
	JSON bool   `name:"json" help:"Print what the endpoint answers."`
}

// Help says which tasks are deleted, and shows an example.
func (*deleteCmd) Help() string {
	return `Deletes the row of a task: its arguments, result and errors. One that waits
never runs. One that is RUNNING is refused: cancel it first. The audit log of the
admin pages shows who did it, and the ID.

Examples:
  {name} delete 01890a5d-ac96-774b-bcce-b302099a8057 --yes`
}

// Run deletes one task; one that is RUNNING is a failure.
func (c *deleteCmd) Run(ctx context.Context, p *program) error {
	id, err := parseTaskID(c.ID)
	if err != nil {
		return err
	}
	if !c.Yes && (c.JSON || !isTerminal(p.stdin)) {
		return usagef("delete asks before it deletes, and can ask only on a terminal: add --yes")
	}
	app, err := p.openToAct(ctx)
	if err != nil {
		return err
	}
	defer app.close()
	if !c.Yes {
		row, err := app.client.Get(ctx, id)
		if errors.Is(err, queue.ErrNotFound) {
			return p.notFound(id)
		}
		if err != nil {
			return err
		}
		if !p.confirm(ctx, fmt.Sprintf("Delete %s (%s, %s)?", id, row.Task, row.Status)) {
			return ctx.Err()
		}
	}
	row, deleted, err := app.client.Delete(ctx, id, commandLineUser(p.config.Env.Get))
	if c.JSON {
		if printErr := p.printJSON(api.DeleteAnswer(deleted, err).Body); printErr != nil {
			return printErr
		}
	}
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return p.notFound(id)
	case err != nil:
		return fmt.Errorf("not deleted: %w", err)
	case !deleted:
		return fmt.Errorf("not deleted: the task is %s: cancel it first", row.Status)
	case !c.JSON:
		_, err = fmt.Fprintf(p.stdout, "%s deleted\n", id)
	}
	return err
}
