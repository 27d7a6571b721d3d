package queue

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Operator is a Store that also counts, lists and changes many rows at once: what
// the admin pages, the status and purge endpoints, metrics by queue and an audit
// log require. No task depends on it, so a Store may leave it out; the methods of
// [Client] that need it then return [ErrUnsupported]. [Client.Operator] returns it.
//
// Its methods are as safe for concurrent use as those of [Store], and return the
// same errors.
type Operator interface {
	// Stats counts rows by state.
	Stats(ctx context.Context, f Filter) (Stats, error)

	// Purge deletes at most r.Limit final rows, those that finished first, and returns
	// where the next batch begins. It reads at most r.Window rows of each status, and those
	// that finished in the same microsecond as the last of them, so that it takes the same
	// time however many rows are kept. It skips rows that another transaction has locked, and
	// never deletes a live row.
	Purge(ctx context.Context, r PurgeRequest) (PurgeResult, error)
	// CountPurgeable returns how many rows Purge would delete in all, whatever r.After is.
	CountPurgeable(ctx context.Context, r PurgeRequest) (int, error)
	// Working reports whether any row is RUNNING.
	Working(ctx context.Context) (bool, error)

	// Requeue recovers RUNNING rows whose worker is gone: whose lease has
	// expired and which were claimed longer ago than r.OlderThan, those whose
	// leases expired first, at most r.Limit.
	Requeue(ctx context.Context, r RequeueRequest) (RequeueResult, error)

	// List returns a page of rows. It reads at most r.Window rows at a time, so
	// that it takes the same time on any table: a page may be short, or empty,
	// and more may follow. [ListRequest.Matches] decides about contents. [Client.List]
	// decrypts, and searches further.
	List(ctx context.Context, r ListRequest) (ListPage, error)

	// CountMatching counts the rows that an action would change, up to limit. As in Act, a
	// selection by contents ([Selection.ByContents]) is [ErrInvalid]: [Client.Act] finds its rows.
	// before is as in Act; zero is no limit. For ActionRetry a row that has expired
	// ([Row.Expired]) has no UniqueKey of [UniqueUnfinished]: [Client.Act] cancels such rows. No count changes rows.
	CountMatching(ctx context.Context, a Action, s Selection, before time.Time, limit int) (int, error)
	// CountTaken counts, up to limit, the selected FAILED rows that ActionRetry is not
	// for, because a live row that has not expired has the UniqueKey that they held until
	// they ended.
	CountTaken(ctx context.Context, s Selection, before time.Time, limit int) (int, error)
	// KeyHolder returns the row that has the UniqueKey which a FAILED row held until it
	// ended, so that ActionRetry is not for it; nil if there is none.
	KeyHolder(ctx context.Context, row *Row) (*Row, error)
	// CountDropped counts, up to limit, the selected FAILED rows that ActionRetry is not
	// for, because they are [Row.Dropped].
	CountDropped(ctx context.Context, s Selection, before time.Time, limit int) (int, error)
	// Act applies an action to up to limit of the selected rows that it is for. Of
	// several FAILED rows with one UniqueKey, ActionRetry changes one.
	// It returns the rows as they are afterwards, or were before ActionDelete, in no order and without their
	// Args, ReturnValue and Errors, which may be long; fewer than limit means that
	// no more are there. It skips rows that another transaction has locked, and
	// rows that were enqueued, failed, made due, refused by a dispatcher or
	// started after before, a time of the database, so that repeating it ends.
	Act(ctx context.Context, a Action, s Selection, before time.Time, limit int) ([]*Row, error)

	// Queues returns the stats of each queue that has live rows, or had some
	// that ended within the last hour.
	Queues(ctx context.Context) ([]QueueStats, error)
	// Failures groups the rows that have FAILED since then, the largest groups
	// first. It reads the latest FailuresWindow of them.
	Failures(ctx context.Context, since time.Time, limit int) ([]FailureGroup, error)

	// Touch records that the event of this name happened now. Touched returns
	// when each last happened.
	Touch(ctx context.Context, name string) error
	Touched(ctx context.Context) (map[string]time.Time, error)

	// RecordAudit stores an entry of the audit log: a new one, or, if its ID
	// exists, its Done, Failed and Ended. It returns when the entry was made.
	RecordAudit(ctx context.Context, e AuditEntry) (time.Time, error)
	// AuditLog returns the latest entries before a time, or of all; only those
	// about one task if id is not zero.
	AuditLog(ctx context.Context, id uuid.UUID, before time.Time, limit int) ([]AuditEntry, error)
}

// Counter is a [Store] that counts finished rows ahead, so that the statistics of an
// [Operator] need not read them. The sweeper and [Client.Purge] call it. Without it
// statistics are the same and take longer.
type Counter interface {
	// CountFinished counts some of the finished rows that it has not counted yet, and
	// reports whether there are more. Any number of calls may run at once.
	CountFinished(ctx context.Context) (more bool, err error)
}

// Operator returns the client's store as an [Operator], or [ErrUnsupported] if it
// is none.
func (c *Client) Operator() (Operator, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	operator, ok := c.cfg.Store.(Operator)
	if !ok {
		return nil, fmt.Errorf("%w: %T does not implement queue.Operator", ErrUnsupported, c.cfg.Store)
	}
	return operator, nil
}

// Filter selects rows by queue and backend; an empty field selects all.
type Filter struct {
	Queue   string
	Backend string
}

// Stats are counts of rows by state, at one moment of the database.
type Stats struct {
	Pending    int `json:"pending_count"` // READY and due (RetryAt included)
	Running    int `json:"running_count"`
	Successful int `json:"successful_count"`
	Failed     int `json:"failed_count"`
	Cancelled  int `json:"cancelled_count"`
	Delayed    int `json:"delayed_count"` // READY and not due
	// Since when the pending rows have been due that wait longest and shortest; zero
	// when none is pending.
	OldestPendingSince time.Time `json:"oldest_pending_waiting_since,omitzero"`
	NewestPendingSince time.Time `json:"newest_pending_waiting_since,omitzero"`
	// READY rows that should have been claimed or dispatched by now, and since
	// when the first of them has been due.
	Stranded            int       `json:"stranded_count"`
	OldestStrandedSince time.Time `json:"oldest_stranded_since,omitzero"`
}

// PurgeRequest selects final rows to delete.
type PurgeRequest struct {
	Statuses []Status      // final ones; others select nothing
	Age      time.Duration // finished at least this long ago, by the database's clock
	Task     string        // empty: all names
	Limit    int           // rows in one batch; [Client.Purge] takes 0 as DefaultBatch
	After    time.Time     // finished after that: [PurgeResult].Next of the batch before
	Window   int           // rows of each status that one batch reads at most, also those that it keeps; 0: PurgeWindow
}

// PurgeResult is what one batch did.
type PurgeResult struct {
	Deleted int
	Next    time.Time // After of the next batch; zero: no more rows are there
}

// Final returns the final ones of r.Statuses, each once.
func (r PurgeRequest) Final() []Status {
	final := []Status{}
	for _, status := range r.Statuses {
		if status.Final() && !slices.Contains(final, status) {
			final = append(final, status)
		}
	}
	return final
}

// RequeueRequest selects RUNNING rows whose lease has expired.
type RequeueRequest struct {
	Filter
	OlderThan time.Duration // since they were claimed
	// MaxAttempts overrides the rows' own limit for deciding whether an attempt is
	// left; 0 does not. A row that becomes READY gets at least one more attempt than
	// it has used.
	MaxAttempts int
	MarkFailed  bool // make all of them FAILED
	Limit       int  // rows in one batch; [Client.Requeue] takes 0 as DefaultBatch
	DryRun      bool // only count
}

// RequeueResult is what Requeue did, or would do.
type RequeueResult struct {
	Ready  int // READY and due at once
	Failed int // FAILED with a WorkerLost error
}

// TouchSwept is the name under which the sweeper calls [Operator].Touch.
const TouchSwept = "swept"

// Bounds of how many rows one call reads.
const (
	ListWindow     = 20_000
	PurgeWindow    = 20_000
	FailuresWindow = 50_000
)

// QueueStats are the counts and times of one queue.
type QueueStats struct {
	Backend, Queue string
	Pending        int // READY and due
	Delayed        int // READY and not due
	Running        int
	Expired        int // of Running: their leases have expired, so that their workers may be gone
	Stranded       int
	OldestSince    time.Time // since when the oldest pending row has been due
	// Rows that ended so within the last hour, and still have that status.
	Succeeded, Failed int
}

// FailureGroup are the FAILED rows of one task with the same kind of error.
type FailureGroup struct {
	Task  string
	Group string // AttemptError.Group
	Count int
	// Of Count: those that FAILED within the last hour, and those that have attempts left,
	// since their error was permanent ([Discard]) or they were given up.
	LastHour, Permanent int
	// Of Count: those that FAILED since the time that was asked for. It is less than Count
	// in an [Overview] only.
	Recent int
	Last   time.Time // of the latest
	Error  string    // the text of one
}

// AuditEntry is one action in the audit log.
type AuditEntry struct {
	ID     uuid.UUID // version 7
	At     time.Time // set by the store
	Actor  string    // who did it, as far as known
	Action string
	Task   uuid.UUID // zero: many tasks
	Target string    // what was selected, in words
	Done   int       // rows changed
	Failed int       // rows that could not be dispatched, or were locked and not changed
	Ended  bool      // false while it runs, and if its process died
}
