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

// runHere runs one task in this process until it has ended: each attempt when it
// is due. While another process has claimed the task, it waits.
func (p *program) runHere(ctx context.Context, app *App, handle *queue.Handle) (*queue.Row, error) {
	executor, err := p.executor(app, 1)
	if err != nil {
		return nil, err
	}
	ctx, stop := releaseOnSignal(ctx, executor)
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
			// It may end, or be released, long before its lease expires.
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

// releaseOnSignal makes the first SIGINT or SIGTERM stop the executor, release its
// claim and end the returned context, until stop is called. A second signal ends the
// process.
func releaseOnSignal(ctx context.Context, e *queue.Executor) (_ context.Context, stop func()) {
	signalled, stopSignals := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	stopWatch := context.AfterFunc(signalled, func() {
		stopSignals()
		_ = e.Shutdown(signalled, lingerTime) // the run's outcome reports how that went
	})
	return signalled, func() {
		stopWatch()
		stopSignals()
	}
}
