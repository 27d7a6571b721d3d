package queue

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue/internal/jsonvalue"
)

// Errors of [Task.Result] and [Task.Wait]. Test with errors.Is.
var (
	// ErrPending: the task is READY or RUNNING.
	ErrPending = errors.New("task has not ended yet")
	// ErrCancelled: the task was cancelled.
	ErrCancelled = errors.New("task was cancelled")
	// ErrWrongTask: the ID belongs to a task of another name.
	ErrWrongTask = errors.New("another task's result")
)

// FailedError is the [Task.Result] of a task that is FAILED. Get it with
// errors.As.
type FailedError struct{ Row *Row }

func (e *FailedError) Error() string {
	last := "no error recorded"
	if n := len(e.Row.Errors); n > 0 {
		last = e.Row.Errors[n-1].Message
	}
	return fmt.Sprintf("task %s failed on attempt %d of %d: %s", e.Row.ID, e.Row.Attempts, e.Row.MaxAttempts, last)
}

// Get returns one task, or [ErrNotFound].
func (c *Client) Get(ctx context.Context, id uuid.UUID) (*Row, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	var row *Row
	err := within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		row, err = c.cfg.Store.Get(ctx, id)
		return err
	})
	c.availability.observeRead(err)
	c.reveal(ctx, row)
	return row, err
}

// Wait reads a task's row at growing intervals, up to a second, until the task
// has ended, and returns it. Errors: those of [Client.Get], and ctx's when that
// ends first.
func (c *Client) Wait(ctx context.Context, id uuid.UUID) (*Row, error) {
	const shortest, longest = 2 * time.Millisecond, time.Second
	for pause := shortest; ; pause = min(pause*2, longest) {
		row, err := c.Get(ctx, id)
		if err != nil || row.Status.Final() {
			return row, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for task %s, which is %s: %w", id, row.Status, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// resultOf reads the return value of a row that is to be the task's.
func resultOf[Out any](c *Client, task string, row *Row) (Out, error) {
	var out Out
	if d, ok := c.registry.lookup(row.Task); row.Task != task && (!ok || d.name != task) {
		return out, fmt.Errorf("%w: %s is a %s, not a %s", ErrWrongTask, row.ID, row.Task, task)
	}
	if err := row.outcome(); err != nil {
		return out, err
	}
	if row.Unreadable != "" && !c.Knows(row) {
		return out, unknownKey(row.KeyID)
	}
	if row.Unreadable != "" {
		return out, errors.New(row.Unreadable)
	}
	out, err := decodeOf[Out](row, row.ReturnValue)
	if err == nil && jsonvalue.SharesNoField(reflect.TypeFor[Out](), row.ReturnValue) {
		err = errors.New("it has none of the type's fields")
	}
	if err != nil {
		return out, fmt.Errorf("the return value of task %s (%s) is no %s: %w", row.ID, row.Task, reflect.TypeFor[Out](), err)
	}
	return out, nil
}

// outcome is nil when there is a return value to read.
func (r *Row) outcome() error {
	switch r.Status {
	case StatusSuccessful:
		return nil
	case StatusFailed:
		return &FailedError{Row: r}
	case StatusCancelled:
		return ErrCancelled
	default:
		return fmt.Errorf("%w: it is %s", ErrPending, r.Status)
	}
}
