package queue

import (
	"context"
	"slices"
	"strings"
)

// pausedError is the ErrPaused of an action on one queue.
type pausedError struct{ queue string }

func (e *pausedError) Error() string {
	return "queue " + e.queue + " is paused, so its tasks are not run: resume it first"
}
func (*pausedError) Is(target error) bool { return target == ErrPaused }

// exceptPaused returns the selection of ActionRun without the paused queues, and these. It
// is an error if the selection is of one of them.
func (c *Client) exceptPaused(ctx context.Context, s Selection) (Selection, []string, error) {
	paused, err := c.pausedQueues(ctx)
	if err != nil {
		return s, nil, err
	}
	if slices.Contains(paused, s.Queue) {
		return s, nil, &pausedError{s.Queue}
	}
	s.ExceptQueues = append(slices.Clip(s.ExceptQueues), paused...)
	return s, paused, nil
}

// exceptPaused makes ActionRun skip the rows of paused queues.
func (a *bulkAction) exceptPaused(ctx context.Context) (err error) {
	if a.request.Action == ActionRun {
		a.request.Selection, a.paused, err = a.client.exceptPaused(ctx, a.request.Selection)
	}
	return err
}

// countPaused counts the rows that were skipped because their queues are paused.
func (a *bulkAction) countPaused(ctx context.Context) {
	if a.request.Queue != "" {
		return // another one
	}
	for _, name := range a.paused {
		s := a.request.Selection
		s.Queue, s.ExceptQueues = name, nil
		n := 0
		err := within(context.WithoutCancel(ctx), statementTimeout, func(ctx context.Context) (err error) {
			n, err = a.store.CountMatching(ctx, ActionRun, s, a.before, lockedLimit-a.result.Paused)
			return err
		})
		a.client.availability.observeRead(err)
		if a.result.Paused += n; n > 0 {
			a.result.PausedQueues = strings.TrimPrefix(a.result.PausedQueues+", "+name, ", ")
		}
		if a.result.Paused == lockedLimit {
			return
		}
	}
}
