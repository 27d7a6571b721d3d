package queue

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
)

// armed reports whether somebody sees to a row of this backend that is due in
// wait: this client with a ticket, or workers that pull. Otherwise it is the
// sweeper's.
func (c *Client) armed(backend string, wait time.Duration) bool {
	return wait < ArmWithin || c.backends[backend].Dispatcher == nil
}

// ticket is what goes out for a row.
func (c *Client) ticket(row *Row) Ticket {
	return Ticket{ID: row.ID, Queue: row.Queue, DueAt: row.RunAfter, Timeout: c.timeout(row)}
}

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
		tickets := make([]Ticket, len(rows))
		for i, row := range rows {
			tickets[i] = c.ticket(row)
		}
		if _, err := c.send(ctx, dispatcher, rows, tickets); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// send hands the tickets of rows to the dispatcher, and puts a failure into the
// log and on the rows that it concerns, which it returns.
func (c *Client) send(ctx context.Context, d Dispatcher, rows []*Row, tickets []Ticket) (refused map[uuid.UUID]bool, err error) {
	dispatching, cancel := context.WithTimeout(ctx, c.cfg.DispatchTimeout)
	defer cancel()
	err = d.Dispatch(dispatching, tickets...)
	if err == nil {
		return nil, nil
	}
	refused = make(map[uuid.UUID]bool)
	reason := cleanText(err.Error(), maxMessageBytes)
	var partly *DispatchError
	isPartly := errors.As(err, &partly)
	for _, row := range rows {
		if isPartly && partly.Failed[row.ID] == nil {
			continue
		}
		row.DispatchError = reason
		refused[row.ID] = true
	}
	if len(refused) == 0 {
		return nil, nil
	}
	c.noteRefused(ctx, reason, refused)
	return refused, err
}

// noteRefused puts a failed dispatch into the log and on the rows.
func (c *Client) noteRefused(ctx context.Context, reason string, refused map[uuid.UUID]bool) {
	ids := make([]uuid.UUID, 0, len(refused))
	for id := range refused {
		ids = append(ids, id)
	}
	c.cfg.Logger.Error("dispatch failed; the rows are stored and the sweeper will dispatch them",
		"tasks", len(ids), "task_id", ids[0], "error", reason)
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DispatchTimeout)
	defer cancel()
	if err := c.cfg.Store.DispatchFailed(ctx, reason, ids...); err != nil {
		c.outage.observe(err)
		c.cfg.Logger.Warn("the failed dispatch could not be noted on the rows", "task_id", ids[0], "error", err)
	}
}
