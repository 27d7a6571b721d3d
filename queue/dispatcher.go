package queue

import (
	"context"
	"fmt"
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
