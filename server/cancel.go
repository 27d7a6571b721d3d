package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

type cancelCmd struct {
	ID   string `arg:"" help:"The task's ID."`
	JSON bool   `name:"json" help:"Print what the endpoint answers."`
}

// Help describes a running task's end, and shows examples.
func (*cancelCmd) Help() string {
	return `A task that waits never runs. One that is RUNNING is CANCELLED at once: the
context of its function ends at the next heartbeat, and its result is not stored.

Examples:
  {name} cancel 01890a5d-ac96-774b-bcce-b302099a8057`
}

// Run cancels one task; a task that has ended already is a failure.
func (c *cancelCmd) Run(ctx context.Context, p *program) error {
	id, err := parseTaskID(c.ID)
	if err != nil {
		return err
	}
	app, err := p.openToAct(ctx)
	if err != nil {
		return err
	}
	defer app.close()
	row, cancelled, err := app.client.Cancel(ctx, id)
	if c.JSON {
		if printErr := p.printJSON(api.CancelAnswer(row, cancelled, err).Body); printErr != nil {
			return printErr
		}
	}
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return p.notFound(id)
	case err != nil:
		return fmt.Errorf("not cancelled: %w", err)
	case !cancelled:
		return fmt.Errorf("not cancelled: the task is %s", row.Status)
	case !c.JSON:
		_, err = fmt.Fprintf(p.stdout, "%s cancelled\n", id)
	}
	return err
}
