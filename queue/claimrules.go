package queue

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// ClaimRequest says which process claims a row, and what it can run. Its methods and
// [WhyNotClaimed] are the rules for claims, the same in all stores; the claim itself
// is one statement or one transaction of the store.
type ClaimRequest struct {
	Tasks   []string      // the names that have a function in this process
	Keys    []string      // the keys that it has ([KeyCounter])
	Worker  string        // goes into WorkerIDs
	Lease   time.Duration // how long the claim holds without a heartbeat
	ClaimID uuid.UUID     // fresh for each request: [NewClaimID]
	// Unanswered are the claim IDs of earlier requests for the same run whose answers
	// were lost: a row that is RUNNING under one of them is returned as it is.
	Unanswered []uuid.UUID
	// Early is how long before RunAfter a row can be claimed.
	Early time.Duration
	// AllowRetry also claims a FAILED row, and raises its MaxAttempts to at least
	// Attempts + 1.
	AllowRetry bool
	// A row that waits for a rate keeps the time for which it has a ticket, unless that is
	// the one by which this delivery came: with TicketKnown, Ticket is the DispatchDueAt of
	// the row when that was made, zero for any other ticket. Otherwise the delivery was not
	// by it if that is further ahead than Early: deliveries are not early. The caller makes
	// the ticket for that time again, under the same name.
	TicketKnown bool
	Ticket      time.Time
}

// Kept returns how long a row still waits that a rate refuses and that keeps its ticket,
// and whether it does. longest is the longest time that it could have to wait otherwise.
// Stores call it.
func (r *ClaimRequest) Kept(row *Row, now time.Time, longest time.Duration) (wait time.Duration, kept bool) {
	wait = row.DispatchDueAt.Sub(now) - DispatchGrace
	return wait, row.Status == StatusReady && wait > r.KeptFrom() && wait <= longest && !row.DispatchDueAt.Equal(r.Ticket)
}

// KeptFrom is the time that a row has to wait for its ticket at least to keep it.
func (r *ClaimRequest) KeptFrom() time.Duration {
	if r.TicketKnown {
		return 0
	}
	return r.Early
}

// Holds reports whether row is RUNNING under the requested claim, or under one of
// Unanswered: an earlier request claimed it, and its answer was lost.
func (r *ClaimRequest) Holds(row *Row) bool {
	return row.Status == StatusRunning && row.ClaimID != uuid.Nil && (row.ClaimID == r.ClaimID || slices.Contains(r.Unanswered, row.ClaimID))
}

// Spent reports whether the requested claim was made before and has ended. It must
// not be made again: a copy of the request that arrives late would claim a row
// that no process would run. A row that has lost its claim, or had another one since,
// does not show this; so the caller sends no request twice.
func (r *ClaimRequest) Spent(row *Row) bool {
	reopens := row.Status == StatusReady || row.Status == StatusFailed && r.AllowRetry
	return reopens && row.ClaimID == r.ClaimID && r.ClaimID != uuid.Nil
}

// WhyNotClaimed says why row, as read at the database's time now, cannot be
// claimed as requested: a [*NotClaimedError], or nil if it can be (it has changed
// since the claim missed, so the store repeats the claim). Before the store returns the
// error, it makes the row FAILED for [ErrWorkerLost], under the claim and attempts read,
// and CANCELLED for [ErrExpired].
func WhyNotClaimed(row *Row, req ClaimRequest, now time.Time) error {
	refuse := func(reason error, wait time.Duration) error {
		return &NotClaimedError{Reason: reason, Row: row, Wait: wait}
	}
	switch {
	case req.Spent(row):
		return refuse(ErrLeaseLost, 0)
	case row.Status == StatusFailed && req.AllowRetry && row.Dropped():
		return refuse(ErrDropped, 0)
	case row.Status == StatusFailed && req.AllowRetry:
		if !slices.Contains(req.Tasks, row.Task) {
			return refuse(ErrUnknownTask, 0)
		}
		if !HasKey(req.Keys, row) {
			return refuse(ErrUnknownKey, 0)
		}
		return nil
	case row.Status.Final():
		return refuse(ErrFinal, 0)
	case row.Status == StatusRunning && row.LeaseExpiresAt.After(now):
		return refuse(ErrLeased, row.LeaseExpiresAt.Sub(now))
	case row.Expired(now):
		return refuse(ErrExpired, 0)
	case row.Status == StatusReady && row.RunAfter.After(now.Add(req.Early)):
		return refuse(ErrNotDue, row.RunAfter.Sub(now))
	case row.Attempts >= row.MaxAttempts:
		return refuse(ErrWorkerLost, 0)
	case !slices.Contains(req.Tasks, row.Task):
		return refuse(ErrUnknownTask, 0)
	case !HasKey(req.Keys, row):
		return refuse(ErrUnknownKey, 0)
	}
	return nil
}

// HasKey reports whether a row is not encrypted, or its key is one of keys. Stores call it.
func HasKey(keys []string, row *Row) bool { return row.KeyID == "" || slices.Contains(keys, row.KeyID) }

// MaxClaimBytes is how many bytes of arguments the rows of one ClaimNext have in all,
// so that a claim of many rows bounds the memory of the process, too. The first row is
// always claimed. The claim ends before the first other row that would exceed the
// limit; that row stays READY and unchanged.
const MaxClaimBytes = 8 << 20

// ClaimNextRequest says which process pulls rows, what it can run, and from which
// queues.
type ClaimNextRequest struct {
	Tasks   []string
	Keys    []string // as in ClaimRequest
	Queues  []string // empty: all
	Backend string   // empty: all
	Limit   int      // rows at most; with MaxClaimBytes of arguments at most
	Worker  string   // as in ClaimRequest
	Lease   time.Duration
	// Fence is fresh ([NewClaimID]): the claim IDs are made of it and of the rows' IDs
	// ([PullClaimID]), so that [Store].Claimed finds them. With the zero value the
	// store chooses one.
	Fence uuid.UUID
	// Prefetch says how many of Limit are claimed ahead of a free slot, and may have
	// to wait in this process. The rows beyond the first Limit-Prefetch must be on
	// their first attempt of several, and not be in NotPrefetch: a process that dies
	// costs each waiting row one attempt, once, and never the last. The claim ends
	// before the first row that must not be prefetched, which is the next one for a
	// free slot.
	Prefetch    int
	NotPrefetch []uuid.UUID
	// Share and OthersFirst are for [Limiter].ClaimLimited.
	Share       bool
	OthersFirst bool
}

// Free is how many of Limit are claimed for free slots.
func (r *ClaimNextRequest) Free() int { return max(0, r.Limit-r.Prefetch) }

// Claimable returns the rows that may be claimed, out of up to Limit READY ones
// in claim order: those before the first that exceeds [MaxClaimBytes] or must not be
// prefetched.
func (r *ClaimNextRequest) Claimable(rows []*Row) []*Row {
	size := 0
	for i, row := range rows {
		if size += len(row.Args); i > 0 && size > MaxClaimBytes {
			return rows[:i]
		}
		if i >= r.Free() && (row.Attempts > 0 || row.MaxAttempts < 2 || slices.Contains(r.NotPrefetch, row.ID)) {
			return rows[:i]
		}
	}
	return rows
}

// claimVersion is the version of the rules for claims that this program knows, 1 to 15:
// 1 has pauses and limits, 2 groups. A rule that older programs would break adds one.
const claimVersion = 2

// NewClaimID returns a fresh random claim ID, or fence of a ClaimNext. It is a UUID of
// version 8 whose next four bits are the version of the rules for claims that this
// program knows, so that a database can refuse the claims of programs that are too old
// ([ErrOutdated]).
func NewClaimID() uuid.UUID {
	id := uuid.New()
	id[6] = 8<<4 | claimVersion
	return id
}

// PullClaimID is the claim ID of a row that a ClaimNext with this fence claims:
// the first half is the fence's, the second that of the row's ID. Fences that
// differ only in the last three bits of their first half belong together, so that a
// pull can claim in several steps; the last bit is for the steps of a store.
func PullClaimID(fence, id uuid.UUID) (claim uuid.UUID) {
	copy(claim[:8], fence[:8])
	copy(claim[8:], id[8:])
	return claim
}

// PullClaimIDs returns the least and the greatest claim ID under a fence.
func PullClaimIDs(fence uuid.UUID) (first, last uuid.UUID) {
	for i := range last {
		last[i] = 0xff
	}
	copy(first[:8], fence[:8])
	copy(last[:8], fence[:8])
	first[7] &^= fenceParts
	last[7] |= fenceParts
	return first, last
}

// fenceParts are the bits of a fence's byte 7 that number the parts of a pull.
const fenceParts = 7

// partFence is the fence of one of up to four parts of a pull. With the same fence, a row whose
// lease expires between two parts would be claimed twice under one claim ID.
func partFence(fence uuid.UUID, n byte) uuid.UUID {
	fence[7] = fence[7]&^fenceParts | n<<1
	return fence
}
