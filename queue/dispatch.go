package queue

import (
	"context"
	"errors"

	"github.com/google/uuid"
)

// dispatch sends rows on their way, each through its backend. A failure is
// logged, noted on the rows and left to the sweeper; it is returned for callers
// that must answer for it.
func (c *Client) dispatch(ctx context.Context, rows ...*Row) error {
	byBackend := make(map[string][]*Row, 1)
	for _, row := range rows {
		byBackend[row.Backend] = append(byBackend[row.Backend], row)
	}
	// The rows are stored: whether the caller still waits does not matter.
	ctx = context.WithoutCancel(ctx)
	var errs []error
	for name, rows := range byBackend {
		dispatcher := c.backends[name].Dispatcher
		if dispatcher == nil { // workers pull, or the backend is another program's
			continue
		}
		if err := c.send(ctx, dispatcher, rows); err != nil {
			errs = append(errs, err)
			c.noteFailure(ctx, rows, err)
		}
	}
	return errors.Join(errs...)
}

func (c *Client) send(ctx context.Context, d Dispatcher, rows []*Row) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DispatchTimeout)
	defer cancel()
	tickets := make([]Ticket, len(rows))
	for i, row := range rows {
		tickets[i] = Ticket{ID: row.ID, Queue: row.Queue, DueAt: row.RunAfter, Timeout: c.timeout(row)}
	}
	return d.Dispatch(ctx, tickets...)
}

// noteFailure puts a failed dispatch into the log and on the rows it concerns.
func (c *Client) noteFailure(ctx context.Context, rows []*Row, err error) {
	failed := make([]uuid.UUID, 0, len(rows))
	reason := cleanText(err.Error(), maxMessageBytes)
	var partly *DispatchError
	isPartly := errors.As(err, &partly)
	for _, row := range rows {
		if isPartly && partly.Failed[row.ID] == nil {
			continue
		}
		row.DispatchError = reason
		failed = append(failed, row.ID)
	}
	if len(failed) == 0 {
		return
	}
	c.cfg.Logger.Error("dispatch failed; the rows are stored and the sweeper will dispatch them",
		"tasks", len(failed), "task_id", failed[0], "error", err)
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DispatchTimeout)
	defer cancel()
	if noteErr := c.cfg.Store.DispatchFailed(ctx, reason, failed...); noteErr != nil {
		c.outage.observe(noteErr)
		c.cfg.Logger.Warn("the failed dispatch could not be noted on the rows", "task_id", failed[0], "error", noteErr)
	}
}
