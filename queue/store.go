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
// [Gatekeeper], [Scheduler], [Grouper], [Reporter], [Checkpointer], [Waker], [AsyncFinisher], [Counter], [FigureStore], [TxReader], [Clocked] and [Pooled].
//
// Two rules guarantee that exactly one claim finishes a row. Both use only the
// database's clock:
//
//   - A claim is one conditional update: READY and due, or RUNNING with an
//     expired lease, and attempts left, becomes RUNNING with one attempt more,
//     a new lease and a fresh random claim ID.
//   - Finish, Retry, Release, Unclaim, NoteErrors and Heartbeat take effect only
//     while the row is still RUNNING under the caller's claim ID; otherwise they
//     write nothing and return [ErrLeaseLost].
//
// Every method is safe for concurrent use. Its error is [ErrUnavailable] when the
// database is the problem (unreachable, read-only, out of space, no free
// connection), [ErrSchema] when the tables are missing, [ErrOutdated] from claims, [ErrClosed] after Close, and
// the context's error when that ended first. After an ErrUnavailable it is not
// known whether a change was made, unless the error is also [ErrNoEffect].
type Store interface {
	// Insert stores rows in one transaction: all of them, or none. A row whose
	// ID is stored already is not written: if the stored one is the same task
	// with the same arguments ([NewRow.Matches]), it is copied over *rows[i].Row and
	// Existed is set; otherwise Insert fails with an [*IDConflictError]. Nor is a row
	// written whose UniqueKey another row of its task holds ([Row.HoldsKey]):
	// [NewRow.AgainstHolder] decides, the holder is copied over *rows[i].Row and
	// Existed is set. Of calls that run at once, one stores the row. Repeated keys in
	// one call count in the order of the rows.
	Insert(ctx context.Context, rows ...*NewRow) error

	// Get returns one row, or [ErrNotFound].
	Get(ctx context.Context, id uuid.UUID) (*Row, error)

	// Claim claims one row by its ID, for a delivery, or returns ErrNotFound or a
	// [*NotClaimedError] that says why not. It ignores RetryAt. A row that
	// an earlier request of the caller has claimed is returned as it is, and a claim
	// that the row shows to have ended is not made again ([ClaimRequest.Holds],
	// [ClaimRequest.Spent]).
	// A FAILED row that would hold its UniqueKey again while another row holds it is
	// refused with [ErrDuplicate] and the Holder.
	Claim(ctx context.Context, id uuid.UUID, req ClaimRequest) (*Row, error)

	// ClaimNext claims up to req.Limit rows that are READY and due (RetryAt
	// included), highest priority first, then first come, with up to [MaxClaimBytes]
	// of arguments in all. Rows that another transaction has locked are skipped.
	// None is an empty slice, no error. It may return rows together with an error:
	// they are claimed, and there may be more that Claimed finds.
	ClaimNext(ctx context.Context, req ClaimNextRequest) ([]*Row, error)

	// Claimed returns the claims of a ClaimNext with this fence whose rows are still
	// RUNNING under them: what it claimed if its answer was lost.
	Claimed(ctx context.Context, fence uuid.UUID) ([]Claim, error)

	// Promote makes due and expired rows claimable: delayed rows that are due now,
	// and rows whose lease has expired, which become READY again, or FAILED with a
	// WorkerLost error when no attempt is left. It handles at most limit rows of
	// each kind. With nothing to do it is one statement.
	Promote(ctx context.Context, limit int) (PromoteResult, error)

	// Heartbeat makes the leases of the given claims expire lease from now. It
	// returns those that it renewed and those that are lost; a claim that is neither
	// is locked by another transaction, perhaps its own CompleteTx.
	Heartbeat(ctx context.Context, lease time.Duration, claims ...Claim) (renewed, lost []Claim, err error)

	// Finish ends a claim with a final status and returns the time of it. Repeating
	// a Finish that took effect succeeds, so it may be repeated when its answer was
	// lost.
	Finish(ctx context.Context, claim Claim, f Finish) (time.Time, error)

	// Retry ends a claim and makes the row READY again for a later attempt.
	// Repeating one that took effect succeeds, unless the row was claimed
	// again in between.
	Retry(ctx context.Context, claim Claim, r Retry) error

	// Release ends a claim whose function was interrupted: the row is READY and due
	// at once, the attempt does not count and its worker ID is removed, unless that
	// has happened MaxInterruptions times.
	Release(ctx context.Context, claim Claim) error

	// Unclaim releases claims whose functions never started: as Release, but not
	// counted as an interruption, so without a limit. A first attempt leaves no trace
	// in the row's times. Lost claims are skipped.
	Unclaim(ctx context.Context, claims ...Claim) error

	// NoteErrors stores the error history of a row that stays RUNNING under its
	// claim; an empty one removes it. If the lease expires with no attempt left, the
	// last record of this attempt replaces the WorkerLost error ([Row.LostErrors]).
	NoteErrors(ctx context.Context, claim Claim, history []AttemptError) error

	// Cancel makes a READY or RUNNING row CANCELLED at once and removes its claim,
	// so that the finish of a running function is refused. For a row that is final
	// already it changes nothing and returns false. The row is returned
	// as it is afterwards; ErrNotFound if there is none. ErrLocked, within a few
	// seconds and with the row as it was, if another transaction has locked it.
	Cancel(ctx context.Context, id uuid.UUID) (row *Row, cancelled bool, err error)

	// Ping reports whether the database answers.
	Ping(ctx context.Context) error

	Transactional // enqueueing and finishing within a caller's transaction
	Outbox        // what the sweeper works on
}

// Outbox is the part of [Store] that the sweeper and a failed dispatch need: it is
// about rows whose Cloud Task was never created, or was lost.
type Outbox interface {
	// DispatchFailed records on READY rows that creating their Cloud Tasks failed, and
	// makes them due for the sweeper now. swept says that TakeStranded has taken them for
	// this dispatch: DispatchFailed then reverts what it counted. Any other count stays:
	// the sweeper would otherwise give a ticket a name that was used before.
	// Rows that another transaction has locked are skipped.
	DispatchFailed(ctx context.Context, reason string, swept bool, ids ...uuid.UUID) error

	// StrandedQueues returns the queues of a backend that have stranded rows:
	// READY, and past their DispatchDueAt.
	StrandedQueues(ctx context.Context, backend string) ([]StrandedQueue, error)

	// TakeStranded takes up to limit stranded rows of a queue for dispatching, those
	// stranded for the longest time first: it adds [StrandedPause] to their
	// DispatchDueAt, increments DispatchTries and clears DispatchError. It skips rows
	// that another transaction has locked, rows that became stranded after q.At, and
	// rows not due for ArmWithin. The rows have no Args, ReturnValue and Errors,
	// which may be long.
	TakeStranded(ctx context.Context, q StrandedQueue, limit int) ([]*Row, error)
}

// StrandedQueue is a queue of a backend that has stranded rows.
type StrandedQueue struct {
	Backend string
	Queue   string
	At      time.Time // of the database, when StrandedQueues read it
}

// MaxInterruptions is how many attempts of one row Release does not count.
const MaxInterruptions = 20

// Times of the dispatch. Far-future rows get no Cloud Task until ArmWithin before
// they are due: Cloud Tasks refuses schedules beyond 30 days and deletes a task on
// day 31. Any other row is stranded DispatchGrace after it was due; one that failed,
// DispatchGrace after LongestBackoff, the longest time that Cloud Tasks queues are
// set up to wait between two deliveries.
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
	// WillDispatch says that the caller dispatches the row next, so DispatchDueAt is
	// DispatchGrace after the later of now and RunAfter. Otherwise it is the later of
	// now and RunAfter less ArmWithin, and the sweeper dispatches the row.
	WillDispatch bool
	// FreshID says that the ID was made for this row, so that no other call can be
	// inserting it: a store may insert the row together with rows of other calls.
	FreshID bool
	// OnConflict is what Insert does when another row holds the UniqueKey.
	OnConflict Conflict
	// UniqueFor sets UniqueUntil to this long from now, and ExpiresIn ExpiresAt; used
	// where these are zero.
	UniqueFor time.Duration
	ExpiresIn time.Duration
	// UnlessSucceeded makes Insert fail with [ErrMemberSucceeded] if it would store a row
	// whose Group has counted it as SUCCESSFUL before: it has run, and was deleted.
	UnlessSucceeded bool
	// Existed is set by Insert.
	Existed bool

	warnings []string // of Handle
	sealing  *sealing // nil: the arguments are not encrypted by this call
	codec    Codec    // that of the client, which may not encrypt this task; nil: none
}

// HasExtras is [Row.HasExtras] of the row that will be stored.
func (r *NewRow) HasExtras() bool { return r.ExpiresIn > 0 || r.Row.HasExtras() }

// PromoteResult is what Promote did, and what is left to do.
type PromoteResult struct {
	Released  int // delayed rows that became claimable
	Reclaimed int // rows whose lease had expired, READY again
	Failed    int // rows whose lease had expired with no attempt left
	Expired   int // rows that were not started before their ExpiresAt, now CANCELLED
	// Claimable reports whether any READY row is claimable now, by any process.
	Claimable bool
	// Next is how long until the next row becomes due or expires, or the next lease
	// expires; at least a microsecond, or zero when there is none.
	Next time.Duration
	// Gates reports whether there are READY rows of paused queues to be parked, or
	// parked rows of others to be made claimable again ([Gatekeeper]).
	Gates bool
	// Deletable reports whether [Lifecycle].DeleteKept has something to delete.
	Deletable bool
	// NextTick is how long until the next schedule is due ([Schedule].NextAt); at least
	// a microsecond, or zero when there is none.
	NextTick time.Duration
	// Limits reports whether limits are set, or rows wait for one ([Limiter]). Claimable
	// then counts the waiting rows.
	Limits bool
	// Unheld reports whether [Limiter].HoldLimited has something to do.
	Unheld bool
	// Groups reports whether there are groups that have not succeeded ([Grouper]), some of
	// which [Grouper].DueGroups may return.
	Groups bool
}

// Finish is the final outcome of a task.
type Finish struct {
	Status      Status          // a final one
	ReturnValue json.RawMessage // SUCCESSFUL only
	Errors      []AttemptError  // the whole history; nil leaves it as it is, an empty one removes it
	// Letter is a new row that is inserted in the same transaction if this call ends the
	// claim, as by Insert; nil, except for a FAILED row with [OnFailed].
	Letter *NewRow
	// Kept tells the store that the row has a Keep or a checkpoint. It is a hint, without which the same
	// happens more slowly.
	Kept bool
	// Report is what the function has reported since it was last stored ([Reporter]); nil
	// is nothing.
	Report *Report
}

// Retry is a return to READY. At most one of In, RunAfter and RunIn is set.
type Retry struct {
	Errors []AttemptError // as in Finish
	// In sets RetryAt to this long from now: the default backoff, a soft time.
	In time.Duration
	// RunAfter, or RunIn from now, is the hard time that the task asked for.
	RunAfter time.Time
	RunIn    time.Duration
	// Refund does not count the attempt, and removes its worker ID.
	Refund bool
	// WillDispatch is as in [NewRow], with LongestBackoff added for the queue's own
	// backoff.
	WillDispatch bool
	Report       *Report // as in Finish
	// Checkpoint replaces the row's, unless it is nil, and MoreAttempts raises its
	// MaxAttempts ([MoreAttempts]); only for a [Checkpointer].
	Checkpoint   json.RawMessage
	MoreAttempts int
}

// Pauses of the sweeper: a row that it dispatched and that is still READY is
// dispatched again after FirstStrandedPause, then after twice that, and so on up to
// LongestStrandedPause, so that a queue that is merely slow gets few duplicates.
const (
	FirstStrandedPause   = 10 * time.Minute
	LongestStrandedPause = 6 * time.Hour
)

// StrandedPause is the time until the sweeper dispatches a row again that it has
// just dispatched, after tries earlier dispatches.
func StrandedPause(tries int) time.Duration {
	pause := FirstStrandedPause
	for ; tries > 0 && pause < LongestStrandedPause; tries-- {
		pause *= 2
	}
	return min(pause, LongestStrandedPause)
}

// PoolStats are the statistics of a connection pool.
type PoolStats struct {
	Max, InUse, Idle int
	Waits            int64         // calls that found no free connection, so far
	Waited           time.Duration // in all
}

// Pooled is a [Store] that has a pool of connections. Pool is safe for concurrent
// use.
type Pooled interface {
	Pool() PoolStats
}

// Clocked is a [Store] with a clock that this process can read, such as a fake one in a
// test. Its clients use that clock where they compare times with the store's, or store
// them: without it they use that of the process, which may differ. Pauses and timeouts take
// the time of the process all the same. Now is safe for concurrent use.
type Clocked interface {
	Now() time.Time
}

// AsyncFinisher is a [Store] that ends claims together, without a goroutine that
// waits for each. FinishAsync is safe for concurrent use.
type AsyncFinisher interface {
	// FinishAsync ends a claim as Finish does, in a statement with others. It does
	// not block, and calls done once, from any goroutine, with Finish's result. An
	// error need not be final: the caller may repeat the call with Finish. done does
	// not block.
	FinishAsync(claim Claim, f Finish, done func(finishedAt time.Time, err error))
}
