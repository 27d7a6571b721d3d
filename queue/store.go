package queue

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Store keeps the rows. queue/pgstore and queue/sqlstore implement it;
// queue/storetest is the suite that every implementation passes.
//
// Two rules carry the promise that exactly one claim finishes a row, and both
// use the database's clock only:
//
//   - A claim is one conditional update: READY and due, or RUNNING with an
//     expired lease, and attempts left, becomes RUNNING with one attempt more,
//     a new lease and a fresh random claim ID.
//   - Finish, Retry, Release and Heartbeat take effect only while the row is
//     still RUNNING under the caller's claim ID, and otherwise answer
//     ErrLeaseLost and write nothing.
//
// Every method is safe for concurrent use and returns an error that is
// ErrUnavailable when the database is the problem (unreachable, read-only, out
// of space, no free connection), ErrSchema when the tables are missing,
// ErrClosed after Close, and the context's error when that ended first.
type Store interface {
	// Insert stores rows in one transaction: all of them, or none. A row whose
	// ID is stored already is not written: if the stored one is the same task
	// with the same arguments (SameRequest), it is copied over *rows[i].Row and
	// Existed is set; otherwise Insert fails with an *IDConflictError.
	Insert(ctx context.Context, rows ...*NewRow) error

	// Get returns one row, or ErrNotFound.
	Get(ctx context.Context, id uuid.UUID) (*Row, error)

	// Claim claims one row by its ID, for a delivery. It answers ErrNotFound,
	// or a *NotClaimedError that says why not. It ignores RetryAt.
	Claim(ctx context.Context, id uuid.UUID, req ClaimRequest) (*Row, error)

	// ClaimNext claims up to req.Limit rows that are READY and due (RetryAt
	// included), highest priority first, then first come. Rows locked by
	// somebody else are passed over. None is an empty slice, no error.
	ClaimNext(ctx context.Context, req ClaimNextRequest) ([]*Row, error)

	// Promote makes claimable what time has made so: delayed rows that are due
	// now, and rows whose lease has expired, which go back to READY, or become
	// FAILED with a WorkerLost error when no attempt is left. It handles at
	// most limit rows of each kind. With nothing to do it is one statement.
	Promote(ctx context.Context, limit int) (Promotion, error)

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

	// Release gives a claim back because the process stops: READY and due at
	// once, and the attempt is not counted, its worker ID taken off, unless
	// that has happened MaxInterruptions times.
	Release(ctx context.Context, claim Claim) error

	// Ping reports whether the database answers.
	Ping(ctx context.Context) error

	Transactional // enqueueing and finishing within a caller's transaction
	Outbox        // what the sweeper works on
	Maintenance   // what operators and schedules do
	Board         // what people see, and do to many rows
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
	// Armed says that the caller goes on to dispatch the row, so DispatchDueAt
	// is DispatchGrace after the later of now and RunAfter. Otherwise it is the
	// later of now and RunAfter less ArmWithin: the sweeper sees to it.
	Armed bool
	// FreshID says that the ID was made for this row, so that nobody else can be
	// inserting it: a store may insert the row together with those of others.
	FreshID bool
	// Existed is set by Insert.
	Existed bool

	warnings []string // of Handle
}

// ClaimRequest says who claims, and what it can run.
type ClaimRequest struct {
	Tasks   []string      // the names registered in this process
	Worker  string        // goes into WorkerIDs
	Lease   time.Duration // how long the claim holds without a heartbeat
	ClaimID uuid.UUID     // fresh and random
	// Early is how far ahead of RunAfter the claim is still given.
	Early time.Duration
	// AllowRetry also claims a FAILED row, raising MaxAttempts if it must.
	AllowRetry bool
}

// ClaimNextRequest says who pulls, what it can run, and from where.
type ClaimNextRequest struct {
	Tasks   []string
	Queues  []string // empty: all
	Backend string   // empty: all
	Limit   int
	Worker  string
	Lease   time.Duration // every row gets a fresh random claim ID
}

// Promotion is what Promote did, and what it saw.
type Promotion struct {
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
	Errors      []AttemptError  // the whole history; nil leaves it as it is
}

// Retry is a return to READY. At most one of In, RunAfter and RunIn is set.
type Retry struct {
	Errors []AttemptError // the whole history; nil leaves it as it is
	// In sets RetryAt to this long from now: the soft time of a plain retry.
	In time.Duration
	// RunAfter, or RunIn from now, is the hard time that the task asked for.
	RunAfter time.Time
	RunIn    time.Duration
	// Refund does not count the attempt and takes its worker ID off.
	Refund bool
	// Armed is as in NewRow. The queue's own backoff is allowed for.
	Armed bool
}
