package queue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Action is what can be done to many rows at once.
type Action string

// The actions.
const (
	// ActionRun makes READY rows due now, whatever time they waited for.
	ActionRun Action = "run"
	// ActionRetry makes FAILED rows READY, with at least one attempt left.
	ActionRetry Action = "retry"
	// ActionRequeue takes back RUNNING rows whose lease has expired, whatever
	// attempts are left.
	ActionRequeue Action = "requeue"
	// ActionCancel makes READY and RUNNING rows CANCELLED.
	ActionCancel Action = "cancel"
)

var actions = []Action{ActionRun, ActionRetry, ActionRequeue, ActionCancel}

// ActRequest asks for an action on all rows that are chosen.
type ActRequest struct {
	Action Action
	Selection
	Limit  int    // how many rows are changed at most; 0: all that there are
	Actor  string // who asks, for the audit log
	Target string // what is chosen, in words, for the audit log
}

// ActionResult is what an action did.
type ActionResult struct {
	Done         int  // rows changed
	Undispatched int  // of these, rows whose tickets were refused; the sweeper sees to them
	Locked       int  // rows that another transaction had locked, up to lockedLimit; they were not changed
	More         bool // it stopped before all were done
}

// lockedLimit bounds the count of locked rows.
const lockedLimit = 1000

// lockPatience is how long an action goes on trying for rows that another
// transaction has locked: most are for milliseconds, by a heartbeat for example.
const lockPatience = time.Second

// actBatch is how many rows one transaction of Act changes.
const actBatch = 200

// Act does something to all rows that are chosen and that the action is for, in
// batches, and dispatches those that may run again. Rows that it makes run and
// that fail meanwhile are not chosen again. It stops when ctx ends, which
// ActionResult.More then says. progress, which may be nil, is told the count so far.
// The action stands in the audit log from before its first change.
func (c *Client) Act(ctx context.Context, r ActRequest, progress func(done int)) (acted ActionResult, err error) {
	entry := AuditEntry{Actor: r.Actor, Action: string(r.Action), Target: r.Target}
	if len(r.IDs) == 1 {
		entry.Task = r.IDs[0]
	}
	store, err := c.Operator()
	if err := cmp.Or(err, r.Check()); err != nil {
		return acted, err
	}
	if r.Limit < 0 {
		return acted, invalidf("Most must not be negative, not %d", r.Limit)
	}
	if !slices.Contains(actions, r.Action) {
		return acted, invalidf("action %.40q is not known; known: %v", r.Action, actions)
	}
	if entry.ID, err = uuid.NewV7(); err != nil {
		return acted, fmt.Errorf("act: %w", err)
	}
	before, err := c.note(ctx, store, entry)
	if err != nil {
		return acted, err
	}
	defer func() {
		entry.Done, entry.Failed, entry.Ended = acted.Done, acted.Undispatched+acted.Locked, err == nil && !acted.More
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementTimeout)
		defer cancel()
		if _, noteErr := c.note(ending, store, entry); noteErr != nil {
			c.cfg.Logger.Warn("the end of an action is missing in the audit log", "action", r.Action, "actor", r.Actor, "done", acted.Done, "error", noteErr)
		}
	}()
	var lockedSince time.Time
	for {
		if ctx.Err() != nil {
			acted.More = true
			return acted, nil //nolint:nilerr // that time is over is what More says
		}
		limit := actBatch
		if r.Limit > 0 {
			limit = min(limit, r.Limit-acted.Done)
		}
		n, err := c.actBatch(ctx, store, r, before, limit, &acted)
		if err != nil {
			acted.More = true
			return acted, err
		}
		if progress != nil {
			progress(acted.Done)
		}
		if acted.Done == r.Limit && r.Limit > 0 {
			return acted, nil
		}
		if n == limit {
			continue
		}
		if acted.Locked = c.locked(ctx, store, r, before, acted.Done); acted.Locked == 0 {
			return acted, nil
		}
		if n > 0 || lockedSince.IsZero() {
			lockedSince = time.Now()
		}
		if time.Since(lockedSince) > lockPatience {
			return acted, nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(lockPatience / 10):
		}
	}
}

// locked counts the rows that an action is for and that it has not changed: they
// are locked by another transaction. If they cannot be counted, there are none to
// tell of.
func (c *Client) locked(ctx context.Context, store Operator, r ActRequest, before time.Time, done int) int {
	most := lockedLimit
	if r.Limit > 0 {
		most = min(most, r.Limit-done)
	}
	n := 0
	err := within(context.WithoutCancel(ctx), statementTimeout, func(ctx context.Context) (err error) {
		n, err = store.CountMatching(ctx, r.Action, r.Selection, before, most)
		return err
	})
	c.availability.observeRead(err)
	return n
}

// actBatch changes and dispatches one batch. It ends even if ctx does: how much
// was done would not be known.
func (c *Client) actBatch(ctx context.Context, store Operator, r ActRequest, before time.Time, limit int, acted *ActionResult) (int, error) {
	ctx = context.WithoutCancel(ctx)
	var rows []*Row
	err := within(ctx, batchTimeout, func(ctx context.Context) (err error) {
		rows, err = store.Act(ctx, r.Action, r.Selection, before, limit)
		return err
	})
	c.availability.observe(err)
	acted.Done += len(rows)
	if err != nil {
		return 0, err
	}
	if r.Action != ActionCancel {
		_ = c.dispatch(ctx, rows...) // logged, and on the rows
		for _, row := range rows {
			if row.DispatchError != "" {
				acted.Undispatched++
			}
		}
	}
	return len(rows), nil
}

func (c *Client) note(ctx context.Context, store Operator, e AuditEntry) (time.Time, error) {
	e.Actor, e.Target = cleanText(e.Actor, 200), cleanText(e.Target, 1000)
	var at time.Time
	err := within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		at, err = store.RecordAudit(ctx, e)
		return err
	})
	c.availability.observe(err)
	return at, err
}

// RecordAudit keeps in the audit log that somebody did something to one task.
func (c *Client) RecordAudit(ctx context.Context, actor, action string, task uuid.UUID, target string) error {
	store, err := c.Operator()
	if err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("record audit: %w", err)
	}
	_, err = c.note(ctx, store, AuditEntry{ID: id, Actor: actor, Action: action, Task: task, Target: target, Done: 1, Ended: true})
	return err
}

// CountMatching counts the rows that an action would change, most at most.
func (c *Client) CountMatching(ctx context.Context, a Action, s Selection, most int) (int, error) {
	store, err := c.Operator()
	if err != nil {
		return 0, err
	}
	var n int
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		n, err = store.CountMatching(ctx, a, s, time.Time{}, most)
		return err
	})
	c.availability.observeRead(err)
	return n, err
}
