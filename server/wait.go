package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
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
		if row.Status == queue.StatusReady && !app.hasFunction(row.Task) {
			return nil, noFunction(row.Task)
		}
		if wait := time.Until(later(row.RunAfter, row.RetryAt)); wait > 0 {
			if err := pause(ctx, wait); err != nil {
				return nil, err
			}
		}
		_, err = executor.RunByID(ctx, handle.ID, queue.RunOptions{})
		if err := waitAfter(ctx, err); err != nil {
			return nil, err
		}
	}
}

// waitAfter pauses after a claim that was refused, and returns any other error of
// [queue.Executor.RunByID]. It also ends the wait where only an operator can: each try
// writes to the row of a paused queue, as to that of a task over a limit, which is tried
// less often.
func waitAfter(ctx context.Context, err error) error {
	const shortest, longest, limited = 10 * time.Millisecond, 100 * time.Millisecond, time.Second
	var refused *queue.NotClaimedError
	switch {
	case !errors.As(err, &refused):
		return err
	case errors.Is(err, queue.ErrUnknownTask):
		return noFunction(refused.Row.Task)
	case errors.Is(err, queue.ErrPaused), errors.Is(err, queue.ErrUnknownKey):
		return notRun(err)
	case errors.Is(err, queue.ErrLimited):
		return pause(ctx, limited)
	default: // the task may end, or be released, long before its lease expires
		return pause(ctx, min(max(refused.Wait, shortest), longest))
	}
}

// hasFunction reports whether this process can run the task of that name or alias.
func (app *App) hasFunction(name string) bool {
	return slices.ContainsFunc(app.client.Registry().Tasks(), func(task queue.TaskInfo) bool {
		return task.Runnable && (task.Name == name || slices.Contains(task.Aliases, name))
	})
}

func noFunction(task string) error {
	return fmt.Errorf("the task %s has no function in this process, so it was not run; its row stays stored: bind the function with Handle, or return the task from Config.Setup", task)
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
		_ = settleClaims(signalled, e)
		stopWatch()
		stopSignals()
	}
}

// settleTime is how long a command waits at its end for claims whose answers were lost: longer
// than such a request can be on its way.
const settleTime = 10 * time.Second

// settleClaims waits until claims whose answers were lost are undone. Nothing else is left
// when a command ends by itself.
func settleClaims(ctx context.Context, e *queue.Executor) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	return e.Shutdown(ctx, lingerTime)
}
