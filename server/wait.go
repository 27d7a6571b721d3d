package server

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// runHere runs one task in this process until it has ended, attempt after
// attempt, each when it is due; whenever somebody else has it, it waits.
func (p *program) runHere(ctx context.Context, app *App, handle *queue.Handle) (*queue.Row, error) {
	executor, err := p.executor(app, 1)
	if err != nil {
		return nil, err
	}
	ctx, stop := giveBackOnSignal(ctx, executor)
	defer stop()
	for {
		row, err := app.client.Get(context.WithoutCancel(ctx), handle.ID)
		if err != nil || row.Status.Final() {
			return row, err
		}
		if wait := time.Until(later(row.RunAfter, row.RetryAt)); wait > 0 {
			if err := pause(ctx, wait); err != nil {
				return nil, err
			}
		}
		var refused *queue.NotClaimedError
		_, err = executor.RunByID(ctx, handle.ID, queue.RunOptions{})
		switch {
		case errors.Is(err, queue.ErrLeased), errors.Is(err, queue.ErrNotDue):
			errors.As(err, &refused)
			// It may end, or be given back, long before its lease does.
			if err := pause(ctx, min(refused.Wait, 100*time.Millisecond)); err != nil {
				return nil, err
			}
		case err != nil && !errors.As(err, &refused):
			return nil, err
		}
	}
}

var errInterrupted = errors.New("interrupted while waiting; the task stays stored")

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return errInterrupted
	case <-time.After(d):
		return nil
	}
}

// giveBackOnSignal makes the first SIGINT or SIGTERM stop the executor, give its
// claim back and end the context returned; stop ends that. A second signal ends
// the process.
func giveBackOnSignal(ctx context.Context, e *queue.Executor) (_ context.Context, stop func()) {
	signalled, stopSignals := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	stopWatch := context.AfterFunc(signalled, func() {
		stopSignals()
		_ = e.Shutdown(signalled, lingerTime) // the run's outcome says how that went
	})
	return signalled, func() {
		stopWatch()
		stopSignals()
	}
}
