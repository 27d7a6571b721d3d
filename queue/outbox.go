package queue

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Outbox is what the sweeper, and a failed dispatch, need of a Store: the rows
// whose Cloud Task never came to be, or was lost. It is part of Store.
type Outbox interface {
	// DispatchFailed notes on READY rows that creating their Cloud Tasks
	// failed, makes them due for the sweeper now, and takes back what
	// TakeStranded counted. Rows that another transaction has locked are skipped.
	DispatchFailed(ctx context.Context, reason string, ids ...uuid.UUID) error

	// StrandedQueues returns the queues of a backend that have stranded rows:
	// READY, and past their DispatchDueAt.
	StrandedQueues(ctx context.Context, backend string) ([]StrandedQueue, error)

	// TakeStranded takes up to limit stranded rows of a queue for dispatching,
	// those that have been so longest first: it moves their DispatchDueAt on, by
	// StrandedPause of the times that this has happened since the last claim, and
	// counts, and clears their DispatchError. Rows that another transaction has
	// locked are skipped, and so are those that became stranded after q.At, and
	// those not due for ArmWithin. The rows come without their Args, ReturnValue
	// and Errors, which may be long.
	TakeStranded(ctx context.Context, q StrandedQueue, limit int) ([]*Row, error)
}

// StrandedQueue is a queue of a backend, at a moment of the database.
type StrandedQueue struct {
	Backend string
	Queue   string
	At      time.Time
}

// A row that the sweeper dispatched and that is still READY is dispatched again
// after FirstStrandedPause, then twice that, and so on, up to
// LongestStrandedPause: a queue that is merely slow does not get more
// duplicates than that.
const (
	FirstStrandedPause   = 10 * time.Minute
	LongestStrandedPause = 6 * time.Hour
)

// StrandedPause is how long the sweeper leaves a row alone that it has
// dispatched, when it had done so tries times before.
func StrandedPause(tries int) time.Duration {
	pause := FirstStrandedPause
	for ; tries > 0 && pause < LongestStrandedPause; tries-- {
		pause *= 2
	}
	return min(pause, LongestStrandedPause)
}
