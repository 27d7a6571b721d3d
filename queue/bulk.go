package queue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Action is what one request can do to many rows.
type Action string

// The actions.
const (
	// ActionRun makes READY rows due now, whatever time they waited for.
	ActionRun Action = "run"
	// ActionRetry makes FAILED rows READY, with at least one attempt left.
	ActionRetry Action = "retry"
	// ActionRequeue makes RUNNING rows whose lease has expired READY, whatever
	// attempts are left.
	ActionRequeue Action = "requeue"
	// ActionCancel makes READY and RUNNING rows CANCELLED.
	ActionCancel Action = "cancel"
	// ActionDelete deletes rows that are not RUNNING. [Client.Delete] is for one of them.
	ActionDelete Action = "delete"
)

var actions = []Action{ActionRun, ActionRetry, ActionRequeue, ActionCancel, ActionDelete}

// ActRequest requests a bulk action: an action on all selected rows.
type ActRequest struct {
	Action Action
	Selection
	Limit  int    // how many rows are changed at most; 0: all
	After  string // only for a selection by contents: where the search begins, a Next of ActionResult or ListPage
	Actor  string // who requests it, for the audit log
	Target string // what is selected, in words, for the audit log
}

// ActionResult is what a bulk action did.
type ActionResult struct {
	Done         int  // rows changed
	Undispatched int  // of these, rows whose tickets were refused; the sweeper dispatches them
	Locked       int  // rows, up to a thousand, that another transaction had locked and that were not changed
	Taken        int  // rows, up to a thousand, that were not retried: a live row has their [Unique] key
	Dropped      int  // rows, up to a thousand, that were not retried: they are [Row.Dropped]
	More         bool // it ended before all were changed
	// Paused is how many rows, up to a thousand, ActionRun has skipped because their
	// queues are paused, and PausedQueues the names of these, separated by commas.
	Paused       int
	PausedQueues string
	// Limited is how many rows, up to a thousand, ActionRun has skipped because they wait
	// for a limit, and LimitedBy what the limits of the first of them are of.
	Limited   int
	LimitedBy string
	// Next is where the search goes on ([ActRequest].After), if More, and Unreadable how many
	// rows could not be decrypted, so that it is not known whether they match: both only for
	// a selection by contents.
	Next       string
	Unreadable int
}

// lockedLimit bounds the count of locked rows.
const lockedLimit = 1000

// lockPatience is how long an action retries rows that another transaction has
// locked: most are locked for milliseconds, for example by a heartbeat.
const lockPatience = time.Second

// actBatch is how many rows one transaction of Act changes.
const actBatch = 200

// Act applies an action to all selected rows that it is for, in batches, and
// dispatches those that may run again. Rows that it makes run and that fail
// meanwhile are not selected again. A selection by contents finds rows as [Client.List]
// does, in the order of its view. ActionRun skips the rows of paused queues, which
// ActionResult.Paused counts, and those that wait for a limit, which ActionResult.Limited
// counts; a selection of a paused queue, or of one row that waits for a limit, is refused
// ([ErrPaused], [ErrLimited]). It stops when ctx ends; ActionResult.More then is true. progress, which may be nil, receives the count so far after each batch.
// The audit log has an entry from before the first change. Errors: [ErrInvalid],
// [ErrUnsupported] if the store is no [Operator], and the store's, with what was
// done until then.
func (c *Client) Act(ctx context.Context, r ActRequest, progress func(done int)) (result ActionResult, err error) {
	store, err := c.Operator()
	if err := cmp.Or(err, r.check()); err != nil {
		return result, err
	}
	entry := AuditEntry{Actor: r.Actor, Action: string(r.Action), Target: r.Target}
	if len(r.IDs) == 1 {
		entry.Task = r.IDs[0]
	}
	if entry.ID, err = uuid.NewV7(); err != nil {
		return result, fmt.Errorf("act: %w", err)
	}
	a := &bulkAction{client: c, store: store, request: r}
	if err := a.exceptPaused(ctx); err != nil {
		return result, err
	}
	if err := a.exceptLimited(ctx); err != nil {
		return result, err
	}
	if a.before, err = c.audit(ctx, store, entry); err != nil {
		return result, err
	}
	if r.ByContents() {
		err = a.applyFound(ctx, progress)
	} else {
		err = a.apply(ctx, progress)
	}
	a.admit(ctx)
	entry.Done, entry.Failed, entry.Ended = a.result.Done, a.result.Undispatched+a.result.Locked+a.result.Taken+a.result.Dropped, err == nil && !a.result.More
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementTimeout)
	defer cancel()
	if _, auditErr := c.audit(ending, store, entry); auditErr != nil {
		c.cfg.Logger.Warn("the end of an action is missing in the audit log", "action", r.Action, "actor", r.Actor, "done", entry.Done, "error", auditErr)
	}
	return a.result, err
}

// check returns the error of a request that no store understands.
func (r *ActRequest) check() error {
	if err := r.Check(); err != nil {
		return err
	}
	if r.Limit < 0 {
		return invalidf("ActRequest.Limit must not be negative, not %d", r.Limit)
	}
	if r.After != "" && !r.ByContents() {
		return invalidf("ActRequest.After is for a selection by contents")
	}
	if !slices.Contains(actions, r.Action) {
		return invalidf("action %.40q is not known; known: %v", r.Action, actions)
	}
	return nil
}

// bulkAction is one Act under way.
type bulkAction struct {
	client  *Client
	store   Operator
	request ActRequest
	paused  []string  // the queues whose rows are skipped
	before  time.Time // the start, by the database: rows that changed after it are left alone
	result  ActionResult
	// keysFreed is whether a retry has cancelled the tasks that have expired.
	keysFreed bool
}

// apply changes all selected rows, and counts those that it has skipped.
func (a *bulkAction) apply(ctx context.Context, progress func(done int)) error {
	err := a.run(ctx, progress)
	if err == nil {
		a.countPaused(ctx)
		a.countLimited(ctx)
		a.countRefused(ctx)
	}
	return err
}

// run changes batches until none is left, and retries locked rows for a while.
func (a *bulkAction) run(ctx context.Context, progress func(done int)) error {
	var lockedSince time.Time
	for {
		if ctx.Err() != nil {
			a.result.More = true
			return nil //nolint:nilerr // More reports it
		}
		limit := actBatch
		if a.request.Limit > 0 {
			limit = min(limit, a.request.Limit-a.result.Done)
		}
		n, err := a.batch(ctx, limit)
		if err != nil {
			a.result.More = true
			return err
		}
		if progress != nil {
			progress(a.result.Done)
		}
		if a.request.Limit > 0 && a.result.Done == a.request.Limit {
			return nil
		}
		if n == limit {
			continue
		}
		if a.result.Locked = a.countLocked(ctx); a.result.Locked == 0 {
			return nil
		}
		if a.freesKeys(ctx) {
			continue
		}
		if n > 0 || lockedSince.IsZero() {
			lockedSince = time.Now()
		}
		if time.Since(lockedSince) > lockPatience {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(lockPatience / 10):
		}
	}
}

// freesKeys cancels tasks that have expired when a retry has left rows for the first time:
// such a task may hold the key of one of these, and is not counted as its holder. It reports
// whether there were any.
func (a *bulkAction) freesKeys(ctx context.Context) bool {
	if a.request.Action != ActionRetry || a.keysFreed {
		return false
	}
	a.keysFreed = true
	return a.client.expireDue(ctx)
}

// expireDue cancels tasks that have expired, so that they hold no keys of FAILED ones that
// are to be retried, and reports whether there were any. If that fails, those are not
// retried.
func (c *Client) expireDue(ctx context.Context) (expired bool) {
	for more := true; more; {
		var p PromoteResult
		err := within(ctx, statementTimeout, func(ctx context.Context) (err error) {
			p, err = c.cfg.Store.Promote(ctx, promoteLimit)
			return err
		})
		c.availability.observe(err)
		c.promoted(ctx, p)
		expired = expired || p.Expired > 0
		more = err == nil && p.Expired == promoteLimit
	}
	return expired
}

// countLocked counts the rows that the action is for and has not changed: they are
// locked by another transaction, as may be a row that has expired and holds the key of one of
// these. If they cannot be counted, it returns 0.
func (a *bulkAction) countLocked(ctx context.Context) int {
	limit := lockedLimit
	if a.request.Limit > 0 {
		limit = min(limit, a.request.Limit-a.result.Done)
	}
	n := 0
	err := within(context.WithoutCancel(ctx), statementTimeout, func(ctx context.Context) (err error) {
		n, err = a.store.CountMatching(ctx, a.request.Action, a.request.Selection, a.before, limit)
		return err
	})
	a.client.availability.observeRead(err)
	return n
}

// KeyHolder returns the row that has the [Unique] key which a FAILED row held until it
// ended, so that it is not retried; nil if there is none. [ErrUnsupported] if the store is
// no [Operator].
func (c *Client) KeyHolder(ctx context.Context, row *Row) (holder *Row, err error) {
	operator, err := c.Operator()
	if err != nil {
		return nil, err
	}
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		holder, err = operator.KeyHolder(ctx, row)
		return err
	})
	c.availability.observeRead(err)
	if holder != nil && holder.UniqueScope == UniqueUnfinished && holder.Expired(c.now()) {
		holder = nil // a retry cancels it
	}
	return holder, err
}

// countRefused counts the rows that a retry has skipped because of their keys, and because
// their arguments are gone. If they cannot be counted, there are none.
func (a *bulkAction) countRefused(ctx context.Context) {
	if a.request.Action != ActionRetry || a.result.More {
		return
	}
	err := within(context.WithoutCancel(ctx), statementTimeout, func(ctx context.Context) (err error) {
		if a.result.Taken, err = a.store.CountTaken(ctx, a.request.Selection, a.before, lockedLimit); err != nil {
			return err
		}
		a.result.Dropped, err = a.store.CountDropped(ctx, a.request.Selection, a.before, lockedLimit)
		return err
	})
	a.client.availability.observeRead(err)
}

// batch changes and dispatches up to limit rows. It is not cut short when ctx ends:
// it would not be known how many rows were changed.
func (a *bulkAction) batch(ctx context.Context, limit int) (int, error) {
	ctx = context.WithoutCancel(ctx)
	var rows []*Row
	err := within(ctx, batchTimeout, func(ctx context.Context) (err error) {
		rows, err = a.store.Act(ctx, a.request.Action, a.request.Selection, a.before, limit)
		return err
	})
	a.client.availability.observe(err)
	a.result.Done += len(rows)
	if err != nil {
		return 0, err
	}
	if a.request.Action == ActionCancel || a.request.Action == ActionDelete {
		a.client.membersEnded(ctx, rows)
	} else {
		_ = a.client.dispatch(ctx, rows...) // logged, and recorded on the rows
		for _, row := range rows {
			if row.DispatchError != "" {
				a.result.Undispatched++
			}
		}
	}
	return len(rows), nil
}
