package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// A Dispatcher gets stored rows run: package cloudtasks creates Cloud Tasks, [Local]
// runs them in this process. It is called after the INSERT has committed, and a
// failure loses nothing: the row has a time after which the sweeper dispatches it
// again.
//
// Dispatch returns nil when every ticket was accepted, and a [*DispatchError] when
// some were not; any other error means that none was. It must be safe for
// concurrent use.
type Dispatcher interface {
	Dispatch(ctx context.Context, tickets ...Ticket) error
}

// A BatchDispatcher is a [Dispatcher] that can send many tickets with fewer calls than
// one a ticket. [Client.EnqueueMany] and [Client.Sweep] then call DispatchBatch where
// they have more than one ticket. Its errors are Dispatch's; a ticket whose outcome is
// not known counts as refused.
type BatchDispatcher interface {
	DispatchBatch(ctx context.Context, tickets ...Ticket) error
}

// A sendFunc is a method of a dispatcher that takes tickets.
type sendFunc func(ctx context.Context, tickets ...Ticket) error

// singly sends tickets by Dispatch.
func singly(d Dispatcher) sendFunc { return d.Dispatch }

// batched sends several tickets by DispatchBatch if d has it.
func batched(d Dispatcher) sendFunc {
	return func(ctx context.Context, tickets ...Ticket) error {
		if batcher, ok := d.(BatchDispatcher); ok && len(tickets) > 1 {
			return batcher.DispatchBatch(ctx, tickets...)
		}
		return d.Dispatch(ctx, tickets...)
	}
}

// A QueueChecker is a [Dispatcher] that cannot serve every queue name. Enqueue calls
// it before anything is stored; an error refuses the task with [ErrInvalid].
type QueueChecker interface {
	CheckQueue(name string) error
}

// A TimeoutChecker is a [Dispatcher] that limits how long a delivery may take.
// [NewClient] calls it for the timeouts of the registered tasks, and Enqueue for the
// [Timeout] of one call. The error says what is possible, and what to do instead.
type TimeoutChecker interface {
	CheckTimeout(timeout time.Duration) error
}

// A Sharder is a [Dispatcher] that sends the tickets of one queue through several
// shards, of which one may fail while the others work. Failures are recorded for
// each shard, and the sweeper leaves a queue only when all of its shards refuse.
type Sharder interface {
	// Shard names the shard of a ticket, always the same for one row, and says how
	// many shards its queue has.
	Shard(Ticket) (name string, of int)
}

// shard is Sharder.Shard, and one shard without a name for other dispatchers.
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
	// Name deduplicates tickets for the same state of a row. It may be empty: the
	// claim makes duplicates harmless.
	Name string
	// AnyVersion asks a dispatcher that pins tickets to the version of the program
	// that made them not to pin this one: an earlier ticket was not delivered, so
	// that version may be gone, or this one does not know the task.
	AnyVersion bool
}

// DispatchError says which tickets of one Dispatch were refused, and why.
type DispatchError struct {
	Failed map[uuid.UUID]error // by the row's ID
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

// Unwrap returns the single causes, for errors.Is and errors.As.
func (e *DispatchError) Unwrap() []error {
	errs := make([]error, 0, len(e.Failed))
	for _, err := range e.Failed {
		errs = append(errs, err)
	}
	return errs
}

// willDispatch reports whether a row of this backend that is due in wait will be
// dispatched by this client, or pulled by workers. Otherwise the sweeper
// dispatches it once it comes near.
func (c *Client) willDispatch(backend string, wait time.Duration) bool {
	return wait < ArmWithin || c.backends[backend].Dispatcher == nil
}

// deferred reports whether the row is left to the sweeper until it comes near.
// RunAfter may come from the database's clock, so the time alone may disagree with
// what willDispatch returned when the row was stored.
func (r *Row) deferred(now time.Time) bool {
	dispatched := r.DispatchDueAt.After(r.RunAfter)
	return !dispatched && r.RunAfter.Sub(now) >= ArmWithin
}

// ticket is the ticket of a row.
func (c *Client) ticket(row *Row) Ticket {
	return Ticket{ID: row.ID, Queue: row.Queue, DueAt: row.RunAfter, Timeout: c.timeout(row)}
}

// dispatch dispatches rows, each through its backend. A failure is logged, recorded
// on the rows and left to the sweeper; it is returned for callers whose own result
// depends on it.
func (c *Client) dispatch(ctx context.Context, rows ...*Row) error {
	return c.dispatchBy(ctx, singly, rows, c.ticket)
}

func (c *Client) dispatchBy(ctx context.Context, by func(Dispatcher) sendFunc, rows []*Row, ticketOf func(*Row) Ticket) error {
	byBackend := make(map[string][]*Row, 1)
	for _, row := range rows {
		byBackend[row.Backend] = append(byBackend[row.Backend], row)
	}
	// The rows are stored, so they are dispatched even if the caller has gone.
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
			tickets[i] = ticketOf(row)
		}
		if _, err := c.send(ctx, dispatcher, by(dispatcher), false, rows, tickets); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// send passes the tickets of rows to the dispatcher d by its method. It logs a failure
// and records it on the refused rows, whose IDs it returns. swept is as in
// [Outbox].DispatchFailed.
func (c *Client) send(ctx context.Context, d Dispatcher, method sendFunc, swept bool, rows []*Row, tickets []Ticket) (refused map[uuid.UUID]bool, err error) {
	dispatching, cancel := context.WithTimeout(ctx, c.cfg.DispatchTimeout)
	defer cancel()
	err = method(dispatching, tickets...)
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
		c.recordRefusal(ctx, reason, swept, part.ids)
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

// refusal is the part of a failed dispatch that concerns one shard.
type refusal struct {
	shard string
	ids   []uuid.UUID
	err   error
}

// reason is the text for the rows: the cause without the ID of one of them, so that
// rows refused for the same reason have the same text.
func (r refusal) reason() string {
	var partly *DispatchError
	if errors.As(r.err, &partly) {
		if cause := partly.Failed[r.ids[0]]; cause != nil {
			return cause.Error()
		}
	}
	return r.err.Error()
}

// refusals splits the error of a dispatch by shard: what has to be fixed may differ
// from shard to shard, and a row records the error of its own.
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

// recordRefusal logs a failed dispatch and records it on the rows.
func (c *Client) recordRefusal(ctx context.Context, reason string, swept bool, ids []uuid.UUID) {
	c.cfg.Logger.Error("dispatch failed; the rows are stored and the sweeper will dispatch them",
		"tasks", len(ids), "task_id", ids[0], "error", reason)
	ctx, cancel := context.WithTimeout(ctx, max(c.cfg.DispatchTimeout, DefaultDispatchTimeout)) // the database may be busy
	defer cancel()
	if err := c.cfg.Store.DispatchFailed(ctx, reason, swept, ids...); err != nil {
		c.availability.observe(err)
		c.cfg.Logger.Warn("the failed dispatch could not be recorded on the rows", "task_id", ids[0], "error", err)
	}
}
