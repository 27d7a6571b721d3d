package queue

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// DefaultSweepLimit is how many rows of each kind one sweep handles by default.
const DefaultSweepLimit = 500

// sweepBudget is the longest time of one sweep.
const sweepBudget = 30 * time.Second

// SweepResult is what one sweep did.
type SweepResult struct {
	Dispatched int `json:"dispatched"`        // stranded rows that got a new ticket
	Reclaimed  int `json:"reclaimed"`         // rows whose lease had expired, READY again
	Armed      int `json:"armed"`             // rows that got a ticket for a time ahead
	Failed     int `json:"failed"`            // rows whose lease had expired with no attempt left
	Errors     int `json:"errors"`            // tickets that the dispatcher refused; the next sweep repeats them
	Expired    int `json:"expired,omitempty"` // rows that were not started before their ExpiresAt, now CANCELLED
	Deleted    int `json:"deleted,omitempty"` // ended rows whose Keep was over
	Enqueued   int `json:"enqueued"`          // occurrences of schedules, as by Tick
}

// NothingWorked reports whether tickets were refused and none was accepted: the
// dispatcher is misconfigured or unavailable.
func (s SweepResult) NothingWorked() bool { return s.Errors > 0 && s.Dispatched+s.Armed == 0 }

// Sweep makes one pass over what any step of the path may have left behind when its
// process died: it reclaims rows whose lease has expired, fails those that have no
// attempt left, and dispatches READY rows that should have been claimed by now,
// among them far-future ones that have come near. It also cancels rows that have
// expired ([ExpiresAt]), and deletes those whose [Keep] is over, in batches of limit
// for up to ten seconds, ticks ([Client.Tick]), and counts figures ([Client.Figures]) for
// up to two seconds. It handles at most limit rows of each other kind (0 means [DefaultSweepLimit]), a fair share of each queue, and ends with
// ctx or after half a minute. Any number of sweeps may run at once: rows locked by
// one are skipped by the others. A part of the sweep that fails does not stop the
// others, and what was done is returned with the error: one of [Store]'s, or
// [ErrInvalid] for a negative limit.
func (c *Client) Sweep(ctx context.Context, limit int) (SweepResult, error) {
	if err := c.check(); err != nil {
		return SweepResult{}, err
	}
	if limit == 0 {
		limit = DefaultSweepLimit
	}
	if limit < 0 {
		return SweepResult{}, invalidf("limit must be positive, not %d", limit)
	}
	return c.sweep(ctx, limit, false)
}

// sweep is one pass. A background one leaves out the promotion if an executor of
// this process has just made one.
func (c *Client) sweep(ctx context.Context, limit int, background bool) (SweepResult, error) {
	around := ctx
	ctx, cancel := context.WithTimeout(ctx, sweepBudget)
	defer cancel()
	s := &sweep{client: c, left: limit, background: background}
	err := s.run(ctx, limit)
	c.availability.observe(err)
	if s.result != (SweepResult{}) {
		c.cfg.Logger.Log(ctx, s.level(), "swept", "dispatched", s.result.Dispatched, "reclaimed", s.result.Reclaimed,
			"armed", s.result.Armed, "failed", s.result.Failed, "errors", s.result.Errors, "expired", s.result.Expired, "deleted", s.result.Deleted, "enqueued", s.result.Enqueued)
	}
	if hook := c.cfg.Hooks.Swept; hook != nil {
		hook(around, Swept{Client: c, Result: s.result, Err: err})
	}
	return s.result, err
}

// SweepEvery sweeps at once and then at every interval until ctx ends. Errors are
// logged. It panics when the interval is not positive, and when the client is not
// ready.
func (c *Client) SweepEvery(ctx context.Context, interval time.Duration) {
	if err := c.check(); err != nil {
		panic(err)
	}
	if interval <= 0 {
		panic(fmt.Sprintf("queue: SweepEvery: the interval must be positive, not %s: to sweep once, call Sweep", interval))
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		_, err := c.sweep(ctx, DefaultSweepLimit, true)
		if err != nil && !errors.Is(err, ErrUnavailable) { // availability logs that
			c.cfg.Logger.Error("sweep failed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// sweep is one pass.
type sweep struct {
	client     *Client
	left       int  // rows that may still be dispatched
	background bool // SweepEvery's
	gates      bool // rows of paused or resumed queues are to be changed
	tick       bool // a schedule may be due
	limits     bool // limits are set
	unheld     bool // rows that a limit concerns are in the way of others
	groups     bool // there are groups that have not succeeded, and no executor of this process completes them
	upkeep     bool // such groups are to be looked at
	result     SweepResult
	failed     error // the store's
}

func (s *sweep) level() slog.Level {
	if s.result.Errors > 0 || s.result.Failed > 0 {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

func (s *sweep) run(ctx context.Context, limit int) error {
	s.client.applyLimits(ctx)
	store, seen := s.client.cfg.Store, &s.client.lastPromote
	operator, keepsMarks := store.(Operator)
	mark := keepsMarks && (!s.background || seen.touchDue())
	looked, nothing, deletable := seen.fresh()
	if mark && s.try(ctx, within(ctx, statementTimeout, func(ctx context.Context) error { return operator.Touch(ctx, TouchSwept) })) {
		seen.recordTouch()
	}
	promote := func(ctx context.Context) error {
		if s.limits = seen.hasLimits(); s.background && looked {
			s.upkeep = seen.hasGroups() && s.client.groups.upkeepDue(true)
			return nil
		}
		p, err := store.Promote(ctx, limit)
		s.result.Reclaimed, s.result.Failed, s.result.Expired = p.Reclaimed, p.Failed, p.Expired
		deletable = p.Deletable
		s.gates, s.limits, s.unheld, s.groups = p.Gates, p.Limits, p.Unheld, p.Groups
		s.upkeep = p.Groups && s.client.groups.upkeepDue(s.background)
		s.client.promoted(ctx, p)
		s.tick = p.NextTick > 0 && p.NextTick <= time.Millisecond
		return err
	}
	s.try(ctx, within(ctx, statementTimeout*time.Duration(1+limit/1000), promote))
	if !errors.Is(s.failed, ErrUnavailable) { // one time-out is enough
		s.enqueueDue(ctx)
	}
	if s.failed == nil && nothing && !mark && !s.upkeep {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(s.client.backends)) {
		dispatcher := s.client.sweptDispatcher(name)
		if dispatcher == nil {
			continue
		}
		var queues []StrandedQueue
		err := within(ctx, statementTimeout, func(ctx context.Context) (err error) {
			queues, err = store.StrandedQueues(ctx, name)
			return err
		})
		if s.try(ctx, err) {
			s.queues(ctx, dispatcher, queues)
		}
	}
	if (s.groups || s.upkeep) && !errors.Is(s.failed, ErrUnavailable) {
		s.completeGroups(ctx)
	}
	if s.limits {
		s.try(ctx, s.sweepLimits(ctx, slices.Sorted(maps.Keys(s.client.backends))))
	}
	if s.unheld {
		working, cancel := context.WithTimeout(ctx, holdTime)
		s.try(ctx, s.client.holdLimited(working, nil))
		cancel()
	}
	if s.gates {
		working, cancel := context.WithTimeout(ctx, gateSweep)
		s.try(ctx, s.client.workGates(working, nil))
		cancel()
	}
	if deletable && !errors.Is(s.failed, ErrUnavailable) {
		s.try(ctx, s.deleteKept(ctx, limit))
	}
	if !errors.Is(s.failed, ErrUnavailable) { // one time-out is enough, and the next sweep counts
		if s.try(ctx, s.client.countFinished(ctx, countBudget)) {
			s.try(ctx, s.client.countFigures(ctx))
		}
	}
	return s.failed
}

// try records the error of one part of the sweep, which does not stop the others,
// and reports whether there was none. The end of the sweep's own time is no error:
// the next sweep continues.
func (s *sweep) try(ctx context.Context, err error) bool {
	switch {
	case err == nil:
		return true
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
	case s.failed == nil:
		s.failed = err
	default:
		s.failed = fmt.Errorf("%w; %w", s.failed, err)
	}
	return false
}

// completeGroups completes groups whose end no process has handled, and does their upkeep.
func (s *sweep) completeGroups(ctx context.Context) {
	working, cancel := context.WithTimeout(ctx, groupSweep)
	defer cancel()
	if s.upkeep {
		s.try(ctx, s.client.maintainGroups(working))
	}
	if s.groups {
		_, err := s.client.completeDue(working)
		s.try(ctx, err)
	}
}

// enqueueDue enqueues the occurrences of schedules that are due, unless an executor of
// this process does it. The first sweep of a process stores its schedules.
func (s *sweep) enqueueDue(ctx context.Context) {
	store, err := s.client.scheduler()
	if err != nil { // the store keeps none
		return
	}
	if !s.tick {
		s.try(ctx, s.client.syncSchedules(ctx))
		return
	}
	t := &tick{client: s.client, store: store}
	s.try(ctx, t.run(ctx))
	s.result.Enqueued = t.enqueued
}

// sweptDispatcher returns the dispatcher of a backend whose rows the sweeper
// dispatches; nil where rows are pulled, by workers or by a Local, which poll.
func (c *Client) sweptDispatcher(backend string) Dispatcher {
	if _, looks := c.backends[backend].Dispatcher.(*Local); looks {
		return nil
	}
	return c.backends[backend].Dispatcher
}

// A queue's first batch is small, to find out whether the dispatcher accepts its
// tickets at all.
const (
	firstBatch   = 3
	longestBatch = 100
)

// queues dispatches the stranded rows of some queues, in turns so that one with
// many does not delay the others, until none is left. A queue is left for this pass
// when a whole batch was refused; one with several shards only when all of them
// have refused, since the refused rows of one, which come first, must not delay
// those of the others.
func (s *sweep) queues(ctx context.Context, d Dispatcher, queues []StrandedQueue) {
	refusing := make(map[StrandedQueue]map[string]bool, len(queues))
	for _, q := range queues {
		refusing[q] = make(map[string]bool)
	}
	for size := firstBatch; len(queues) > 0; size = min(2*size, longestBatch) {
		var again []StrandedQueue
		for i, q := range queues {
			share := (s.left + len(queues) - i - 1) / (len(queues) - i)
			n := min(size, share)
			if n == 0 {
				return
			}
			more, err := s.batch(ctx, d, q, n, refusing[q])
			if s.try(ctx, err) && more {
				again = append(again, q)
			}
		}
		queues = again
	}
}

// batch dispatches up to n rows of a queue, and reports whether to continue with
// it. refusing contains the shards that accept nothing.
func (s *sweep) batch(ctx context.Context, d Dispatcher, q StrandedQueue, n int, refusing map[string]bool) (more bool, err error) {
	var rows []*Row
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		rows, err = s.client.cfg.Store.TakeStranded(ctx, q, n)
		return err
	})
	if err != nil || len(rows) == 0 {
		return false, err
	}
	s.left -= len(rows)
	tickets := make([]Ticket, len(rows))
	for i, row := range rows {
		tickets[i] = s.client.ticket(row)
		tickets[i].Name = ticketName(row)
		tickets[i].AnyVersion = s.client.anyVersion(row)
	}
	refused, _ := s.client.send(context.WithoutCancel(ctx), d, batched(d), true, rows, tickets) // logged, and recorded on the rows
	now := s.client.now()
	for _, row := range rows {
		switch {
		case refused[row.ID]:
			s.result.Errors++
		case row.RunAfter.After(now):
			s.result.Armed++
		default:
			s.result.Dispatched++
		}
	}
	shards := recordRefusing(refusing, d, tickets, refused)
	return len(rows) == n && (len(refused) < len(rows) || len(refusing) < shards), nil
}

// anyVersion reports whether the ticket of a stranded row may go to any version of
// the program: where this one does not know the task or its key, and every other time. So
// neither a version that is gone, nor one that alone knows the task and has no
// traffic, makes a row wait for ever.
func (c *Client) anyVersion(row *Row) bool {
	_, known := c.registry.lookup(row.Task)
	return !known || !c.Knows(row) || row.DispatchTries%2 == 0
}

// recordRefusing adds to refusing the shards that refused everything in this batch,
// removes those that accepted something, and returns how many shards the queue has.
func recordRefusing(refusing map[string]bool, d Dispatcher, tickets []Ticket, refused map[uuid.UUID]bool) (shards int) {
	accepting := make(map[string]bool)
	for _, ticket := range tickets {
		name, of := shard(d, ticket)
		shards = of
		if refused[ticket.ID] {
			refusing[name] = true
		} else {
			accepting[name] = true
		}
	}
	maps.DeleteFunc(refusing, func(name string, _ bool) bool { return accepting[name] })
	return shards
}

// ticketName names the ticket of a stranded row, so that creating it twice creates
// it once. The name changes with each claim and each sweep, since Cloud Tasks does
// not accept a name again for days. It begins with a hash, since sequential names
// slow the service down.
func ticketName(row *Row) string {
	state := fmt.Sprint(row.ID, row.Attempts, row.DispatchTries, row.LastAttemptedAt.UnixMicro(), row.RunAfter.UnixMicro())
	return fmt.Sprintf("%x-%s", sha256.Sum256([]byte(state)), row.ID)
}
