package queue

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Store keeps the rows. The packages pgstore, sqlitestore and mysqlstore implement
// it; queue/storetest is the suite that every implementation passes, and
// docs/stores.md shows how to write one. A Store may also implement [Operator],
// [Waker] and [Pooled].
//
// Two rules carry the promise that exactly one claim finishes a row, and both
// use the database's clock only:
//
//   - A claim is one conditional update: READY and due, or RUNNING with an
//     expired lease, and attempts left, becomes RUNNING with one attempt more,
//     a new lease and a fresh random claim ID.
//   - Finish, Retry, Release, Unclaim, NoteErrors and Heartbeat take effect only while the row is
//     still RUNNING under the caller's claim ID, and otherwise answer
//     ErrLeaseLost and write nothing.
//
// Every method is safe for concurrent use and returns an error that is
// ErrUnavailable when the database is the problem (unreachable, read-only, out
// of space, no free connection), ErrSchema when the tables are missing,
// ErrClosed after Close, and the context's error when that ended first. With
// ErrUnavailable it is open whether a change was made, unless the error is also
// ErrNoEffect.
type Store interface {
	// Insert stores rows in one transaction: all of them, or none. A row whose
	// ID is stored already is not written: if the stored one is the same task
	// with the same arguments (SameRequest), it is copied over *rows[i].Row and
	// Existed is set; otherwise Insert fails with an *IDConflictError.
	Insert(ctx context.Context, rows ...*NewRow) error

	// Get returns one row, or ErrNotFound.
	Get(ctx context.Context, id uuid.UUID) (*Row, error)

	// Claim claims one row by its ID, for a delivery. It answers ErrNotFound,
	// or a *NotClaimedError that says why not. It ignores RetryAt. Repeating a
	// Claim under the same ClaimID returns the row that the first one claimed, and
	// never claims a row for the second time (see ClaimRequest.Holds and Spent).
	Claim(ctx context.Context, id uuid.UUID, req ClaimRequest) (*Row, error)

	// ClaimNext claims up to req.Limit rows that are READY and due (RetryAt
	// included), highest priority first, then first come. Rows that another
	// transaction has locked are skipped. None is an empty slice, no error. It may
	// return rows together with an error: they are claimed, and there may be more
	// that Claimed finds.
	ClaimNext(ctx context.Context, req ClaimNextRequest) ([]*Row, error)

	// Claimed returns the claims of a ClaimNext with this fence whose rows are
	// still RUNNING under them: what it claimed, should its answer have been lost.
	Claimed(ctx context.Context, fence uuid.UUID) ([]Claim, error)

	// Promote makes claimable what time has made so: delayed rows that are due
	// now, and rows whose lease has expired, which go back to READY, or become
	// FAILED with a WorkerLost error when no attempt is left. It handles at
	// most limit rows of each kind. With nothing to do it is one statement.
	Promote(ctx context.Context, limit int) (PromoteResult, error)

	// Heartbeat makes the leases of the given claims end lease from now. It
	// returns those that it renewed and those that are lost; one that is neither
	// is locked by another transaction now, its own CompleteTx perhaps.
	Heartbeat(ctx context.Context, lease time.Duration, claims ...Claim) (renewed, lost []Claim, err error)

	// Finish ends a claim for good and returns the time of it. Repeating a
	// Finish that took effect succeeds, so it may be tried again when its
	// answer was lost.
	Finish(ctx context.Context, claim Claim, f Finish) (time.Time, error)

	// Retry ends a claim and makes the row READY again for a later attempt.
	// Repeating one that took effect succeeds, unless the row was claimed
	// again in between.
	Retry(ctx context.Context, claim Claim, r Retry) error

	// Release gives back a claim whose function was interrupted: READY and due at
	// once, and the attempt is not counted, its worker ID taken off, unless
	// that has happened MaxInterruptions times.
	Release(ctx context.Context, claim Claim) error

	// Unclaim gives back claims whose functions never began: as Release, but it
	// counts as no interruption and works however often it happens. A first
	// attempt leaves no trace in the row's times. Claims that do not hold any more
	// are skipped.
	Unclaim(ctx context.Context, claims ...Claim) error

	// NoteErrors stores the error history of a row that stays RUNNING under its
	// claim; an empty one removes it. Should the lease expire with no attempt left,
	// a last record of this attempt is kept instead of a WorkerLost error
	// (Row.LostErrors). ErrLeaseLost as for Finish.
	NoteErrors(ctx context.Context, claim Claim, history []AttemptError) error

	// Cancel makes a READY or RUNNING row CANCELLED at once and takes its claim
	// away, so that the finish of a running function is refused. For a row that
	// is final already it changes nothing and returns false. The row is returned
	// as it is afterwards; ErrNotFound if there is none. ErrLocked, within a few
	// seconds and with the row as it was, if another transaction has locked it.
	Cancel(ctx context.Context, id uuid.UUID) (row *Row, cancelled bool, err error)

	// Ping reports whether the database answers.
	Ping(ctx context.Context) error

	Transactional // enqueueing and finishing within a caller's transaction
	Outbox        // what the sweeper works on
}

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

// MaxInterruptions is how often Release gives an attempt back to one row.
const MaxInterruptions = 20

// Far-future rows get no Cloud Task until ArmWithin before they are due: Cloud
// Tasks refuses schedules beyond 30 days and deletes a task on day 31. Any
// other row should have been claimed DispatchGrace after it was due; one that
// failed, DispatchGrace after LongestBackoff, the longest time that Cloud Tasks
// queues are set up to wait between two deliveries.
const (
	ArmWithin      = 25 * 24 * time.Hour
	DispatchGrace  = 5 * time.Minute
	LongestBackoff = 5 * time.Minute
)

// NewRow is a row to be inserted. Insert sets the row's times and its Status.
type NewRow struct {
	*Row
	// Delay sets RunAfter to this long from now; used when RunAfter is zero.
	Delay time.Duration
	// WillDispatch says that the caller goes on to dispatch the row, so DispatchDueAt
	// is DispatchGrace after the later of now and RunAfter. Otherwise it is the
	// later of now and RunAfter less ArmWithin: the sweeper sees to it.
	WillDispatch bool
	// FreshID says that the ID was made for this row, so that nobody else can be
	// inserting it: a store may insert the row together with those of others.
	FreshID bool
	// Existed is set by Insert.
	Existed bool

	warnings []string // of Handle
}

// PromoteResult is what Promote did, and what it saw.
type PromoteResult struct {
	Released  int // delayed rows that became claimable
	Reclaimed int // rows whose lease had expired, READY again
	Failed    int // rows whose lease had expired with no attempt left
	// Claimable reports whether any READY row is claimable now, by anybody.
	Claimable bool
	// Next is how long until the next row becomes due or the next lease
	// expires; at least a microsecond, or zero when there is none.
	Next time.Duration
}

// Finish is the end of a task.
type Finish struct {
	Status      Status          // a final one
	ReturnValue json.RawMessage // SUCCESSFUL only
	Errors      []AttemptError  // the whole history; nil leaves it as it is, an empty one removes it
}

// Retry is a return to READY. At most one of In, RunAfter and RunIn is set.
type Retry struct {
	Errors []AttemptError // as in Finish
	// In sets RetryAt to this long from now: the soft time of a plain retry.
	In time.Duration
	// RunAfter, or RunIn from now, is the hard time that the task asked for.
	RunAfter time.Time
	RunIn    time.Duration
	// Refund does not count the attempt and takes its worker ID off.
	Refund bool
	// WillDispatch is as in NewRow. The queue's own backoff is allowed for.
	WillDispatch bool
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

// PoolStats says how the connections of a Store are used.
type PoolStats struct {
	Max, InUse, Idle int
	Waits            int64         // calls that found no free connection, so far
	Waited           time.Duration // in all
}

// Pooled is a Store that has a pool of connections.
type Pooled interface {
	Pool() PoolStats
}
