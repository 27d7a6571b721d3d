package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

type runCmd struct {
	ID         string `arg:"" help:"The task's ID."`
	AllowRetry bool   `help:"Run a FAILED task again."`
	JSON       bool   `name:"json" help:"Print what the execute endpoint answers."`
}

// Run claims and runs one task. It fails if the task fails or is not run.
func (c *runCmd) Run(ctx context.Context, p *program) error {
	id, err := parseTaskID(c.ID)
	if err != nil {
		return err
	}
	if err := p.checkKept(); err != nil {
		return err
	}
	app, err := p.plan(ctx, true, true)
	if err != nil {
		return err
	}
	app.existing = true // a new database has no such task
	defer app.close()
	if err := p.open(ctx, app, nil, false); err != nil {
		return err
	}
	executor, err := p.executor(app, 1)
	if err != nil {
		return err
	}
	_, stop := releaseOnSignal(ctx, executor)
	defer stop()
	run, err := executor.RunByID(ctx, id, queue.RunOptions{AllowRetry: c.AllowRetry})
	if c.JSON {
		if printErr := p.printJSON(api.ExecuteAnswer(run, err, false).Body); printErr != nil {
			return printErr
		}
		if err != nil || run.Outcome != queue.OutcomeSucceeded {
			return errSilent
		}
		return nil
	}
	if err != nil {
		return p.located(id, notRun(err))
	}
	if err := p.printResult(run.Row, false); err != nil {
		return err
	}
	if run.Outcome != queue.OutcomeSucceeded {
		return fmt.Errorf("the task was not successful: %w", run.Err)
	}
	return nil
}

// notRun explains why a task was not run, and what to do.
func notRun(err error) error {
	var refused *queue.NotClaimedError
	if !errors.As(err, &refused) {
		return err
	}
	switch {
	case refused.Row.Status == queue.StatusFailed && refused.Row.Dropped():
		return fmt.Errorf("not run: %w", refused.Row.NotRetried())
	case errors.Is(err, queue.ErrFinal) && refused.Row.Status == queue.StatusFailed:
		return fmt.Errorf("not run: the task is FAILED (--allow-retry runs it again)")
	case errors.Is(err, queue.ErrFinal):
		return fmt.Errorf("not run: the task is %s", refused.Row.Status)
	case errors.Is(err, queue.ErrLeased):
		return fmt.Errorf("not run: %w, which ends in %s", err, refused.Wait.Round(1e9))
	case errors.Is(err, queue.ErrPaused):
		return fmt.Errorf("not run: %w (queues resume %s resumes it)", err, refused.Row.Queue)
	case errors.Is(err, queue.ErrLimited):
		return fmt.Errorf("not run: %w (limits lists the limits; it starts by itself when they allow it)", err)
	case errors.Is(err, queue.ErrNotDue):
		return fmt.Errorf("not run: the task is due at %s", when(refused.Row.RunAfter))
	default:
		return fmt.Errorf("not run: %w", err)
	}
}
