package queue

import (
	"context"
	"encoding/json"
	"slices"
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
	Lease   time.Duration
	// Fence is fresh and random: the claim IDs are made of it and of the rows' IDs
	// (PullClaimID), so that Claimed finds them. The zero value lets the store
	// choose one.
	Fence uuid.UUID
	// Ahead says how many of Limit are claimed ahead of a free slot, and may have to
	// wait in this process. The rows beyond the first Limit-Ahead must be on their
	// first attempt of several, and not be in NotAhead: a process that dies costs
	// what waits in it one attempt, once, and never the last. The claim ends before
	// the first row that must not be claimed ahead, which is first in line for the
	// next free slot.
	Ahead    int
	NotAhead []uuid.UUID
}

// Free is how many rows are claimed for free slots.
func (r *ClaimNextRequest) Free() int { return max(0, r.Limit-r.Ahead) }

// Claimable returns the rows that may be claimed, out of up to Limit READY ones
// in claim order.
func (r *ClaimNextRequest) Claimable(rows []*Row) []*Row {
	for i, row := range rows {
		if i >= r.Free() && (row.Attempts > 0 || row.MaxAttempts < 2 || slices.Contains(r.NotAhead, row.ID)) {
			return rows[:i]
		}
	}
	return rows
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
