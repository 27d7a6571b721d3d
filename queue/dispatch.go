package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// A Dispatcher sees to it that rows which are stored are also run: cloudtasks
// creates Cloud Tasks, Local runs them in this process. It is called after the
// INSERT has committed, and its failure loses nothing: the row keeps the time
// by which the sweeper will dispatch it again.
//
// Dispatch returns nil when every ticket is on its way, and a *DispatchError
// when some are not; any other error means that none is. It is safe for
// concurrent use.
type Dispatcher interface {
	Dispatch(ctx context.Context, tickets ...Ticket) error
}

// A QueueChecker is a Dispatcher that cannot serve every queue name. Enqueue
// asks it before anything is stored.
type QueueChecker interface {
	CheckQueue(name string) error
}

// A TimeoutChecker is a Dispatcher that cannot let a task run for any time it
// likes: it gives up on a delivery that takes longer. NewClient asks it about
// the registered tasks, and Enqueue about an option of its own. The error says
// what is possible, and what to do instead.
type TimeoutChecker interface {
	CheckTimeout(timeout time.Duration) error
}

// A Sharder is a Dispatcher that sends the tickets of one queue through several
// channels, of which one may fail while the others work. A failure is noted for
// each channel apart, and the sweeper gives a queue up only when all refuse.
type Sharder interface {
	// Shard names the channel that a ticket goes through, always the same for
	// one row, and says how many its queue has.
	Shard(Ticket) (name string, of int)
}

// shard asks a dispatcher, if it is one that has shards.
func shard(d Dispatcher, ticket Ticket) (name string, of int) {
	if sharder, ok := d.(Sharder); ok {
		return sharder.Shard(ticket)
	}
	return "", 1
}

// Ticket is what travels in place of the task (the Claim Check pattern): the
// row's ID and how to deliver it, nothing of its name or arguments.
type Ticket struct {
	ID    uuid.UUID
	Queue string
	// DueAt is when the row may run; zero means now.
	DueAt time.Time
	// Timeout is how long the task may run; 0 means no limit.
	Timeout time.Duration
	// Name makes repeated dispatches of the same state of a row one; empty
	// leaves it to the claim to make duplicates harmless.
	Name string
	// AnyVersion asks a dispatcher that pins tickets to the version of the program
	// that made them not to pin this one: an earlier ticket came to nothing, so
	// that version may be gone, or this one does not know the task.
	AnyVersion bool
}

// DispatchError says which tickets of one Dispatch failed.
type DispatchError struct {
	Failed map[uuid.UUID]error
}

func (e *DispatchError) Error() string {
	for id, err := range e.Failed {
		if len(e.Failed) == 1 {
			return fmt.Sprintf("dispatch of %s: %v", id, err)
		}
		return fmt.Sprintf("dispatch of %d tasks failed, of %s: %v", len(e.Failed), id, err)
	}
	return "dispatch failed"
}

// Unwrap gives errors.Is and errors.As the single causes.
func (e *DispatchError) Unwrap() []error {
	errs := make([]error, 0, len(e.Failed))
	for _, err := range e.Failed {
		errs = append(errs, err)
	}
	return errs
}

// armed reports whether somebody sees to a row of this backend that is due in
// wait: this client with a ticket, or workers that pull. Otherwise it is the
// sweeper's.
func (c *Client) willDispatch(backend string, wait time.Duration) bool {
	return wait < ArmWithin || c.backends[backend].Dispatcher == nil
}

// parked reports whether the row is left to the sweeper until it comes nearer.
// The database's clock has a part in RunAfter, so that the time alone may say
// something else than armed did when the row was stored.
func (r *Row) deferred(now time.Time) bool {
	armed := r.DispatchDueAt.After(r.RunAfter)
	return !armed && r.RunAfter.Sub(now) >= ArmWithin
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
			c.wakeWorkers(ctx, rows)
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
		c.dispatched(ctx, rows, func(*Row) error { return nil })
		return nil, nil
	}
	refused = make(map[uuid.UUID]bool)
	reasons := make(map[uuid.UUID]string)
	for _, part := range refusals(d, tickets, err) {
		reason := cleanText(part.reason(), maxMessageBytes)
		for _, id := range part.ids {
			refused[id], reasons[id] = true, reason
		}
		c.recordRefusal(ctx, reason, part.ids)
	}
	c.dispatched(ctx, rows, func(row *Row) error {
		if refused[row.ID] {
			return err
		}
		return nil
	})
	if len(refused) == 0 {
		return nil, nil
	}
	for _, row := range rows {
		if refused[row.ID] {
			row.DispatchError = reasons[row.ID]
		}
	}
	return refused, err
}

// refusal is what a failed dispatch says of the tickets of one shard.
type refusal struct {
	shard string
	ids   []uuid.UUID
	err   error
}

// reason is what the rows say: the cause without the ID of one of them, so that
// many that were refused for one reason are seen to be that.
func (r refusal) reason() string {
	var partly *DispatchError
	if errors.As(r.err, &partly) {
		if cause := partly.Failed[r.ids[0]]; cause != nil {
			return cause.Error()
		}
	}
	return r.err.Error()
}

// refusals takes the error of a dispatch apart: what is to be mended may differ
// from shard to shard, and a row shall tell of its own.
func refusals(d Dispatcher, tickets []Ticket, err error) []refusal {
	var partly *DispatchError
	if !errors.As(err, &partly) {
		all := refusal{err: err}
		for _, ticket := range tickets {
			all.ids = append(all.ids, ticket.ID)
		}
		return []refusal{all}
	}
	var parts []refusal
	for _, ticket := range tickets {
		if partly.Failed[ticket.ID] == nil {
			continue
		}
		name, _ := shard(d, ticket)
		i := slices.IndexFunc(parts, func(r refusal) bool { return r.shard == name })
		if i < 0 {
			i, parts = len(parts), append(parts, refusal{shard: name, err: err})
		}
		parts[i].ids = append(parts[i].ids, ticket.ID)
	}
	if len(parts) == 1 {
		return parts
	}
	for i, part := range parts {
		failed := make(map[uuid.UUID]error, len(part.ids))
		for _, id := range part.ids {
			failed[id] = partly.Failed[id]
		}
		parts[i].err = &DispatchError{Failed: failed}
	}
	return parts
}

// recordRefusal puts a failed dispatch into the log and on the rows.
func (c *Client) recordRefusal(ctx context.Context, reason string, ids []uuid.UUID) {
	c.cfg.Logger.Error("dispatch failed; the rows are stored and the sweeper will dispatch them",
		"tasks", len(ids), "task_id", ids[0], "error", reason)
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DispatchTimeout)
	defer cancel()
	if err := c.cfg.Store.DispatchFailed(ctx, reason, ids...); err != nil {
		c.availability.observe(err)
		c.cfg.Logger.Warn("the failed dispatch could not be noted on the rows", "task_id", ids[0], "error", err)
	}
}
