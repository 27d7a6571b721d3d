package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Gatekeeper is a [Store] that can pause queues. A queue is paused by its name, in all
// backends: none of its rows is claimed until it is resumed. The claims of a
// Gatekeeper look at the paused queues in the same statement or transaction that claims,
// and answer a delivery to a paused queue with [ErrPaused], after they have parked the
// row. A parked row is READY, in no index of claims, and not due for the sweeper,
// whatever time passes. A Store may leave Gatekeeper out; the methods of [Client] that
// need it then return [ErrUnsupported].
//
// Its methods are as safe for concurrent use as those of [Store], and return the same
// errors.
type Gatekeeper interface {
	// PauseQueue pauses a queue. When it has returned, no claim of a row of the queue
	// begins in any process. RUNNING rows stay as they are. A queue that is paused
	// already stays so, by whom and for the reason that it was. It returns the gate as it
	// is now, and whether this call paused the queue.
	PauseQueue(ctx context.Context, queue, by, reason string) (Gate, bool, error)
	// ResumeQueue lets claims of a queue begin again. Its parked rows stay parked until
	// Unpark. It returns the gate as it was, and whether the queue was paused.
	ResumeQueue(ctx context.Context, queue string) (Gate, bool, error)
	// Gates returns the queues that are paused, and those that are not and may have
	// parked rows, ordered by name.
	Gates(ctx context.Context) ([]Gate, error)
	// Park parks up to limit READY rows of a paused queue, and returns how many: fewer
	// than limit means that no more are there. It changes nothing if the queue is not
	// paused. It skips rows that another transaction has locked.
	Park(ctx context.Context, queue string, limit int) (int, error)
	// Unpark reverts Park for up to limit rows of a queue that is not paused, those first
	// that should have been claimed first, and returns how many: fewer than limit means
	// that no more are there. due are those of them that should have been claimed by now,
	// or whose delivery was answered with ErrPaused: the caller dispatches them, and the
	// sweeper does DispatchGrace from now if the caller dies. They have no Args,
	// ReturnValue and Errors. It skips rows that another transaction has locked.
	Unpark(ctx context.Context, queue string, limit int) (n int, due []*Row, err error)
}

// Gate is what keeps rows of a queue from being claimed.
type Gate struct {
	Queue       string
	PausedAt    time.Time // zero: not paused
	PausedBy    string
	PauseReason string
	Parked      bool // rows may be parked
}

// ParkedFrom is before the DispatchDueAt of every parked row of a [Gatekeeper], and after
// that of any other row.
var ParkedFrom = time.Date(11000, 1, 1, 0, 0, 0, 0, time.UTC)

// Parked reports whether the row is parked, because its queue is or was paused
// ([Gatekeeper]).
func (r *Row) Parked() bool {
	return r.Status == StatusReady && !r.DispatchDueAt.Before(ParkedFrom) && r.DispatchDueAt.Before(LimitedFrom)
}

// Paused reports whether the queue is paused.
func (g Gate) Paused() bool { return !g.PausedAt.IsZero() }

// QueueState is one queue with its counts, as the endpoint of queues shows it.
type QueueState struct {
	Name    string `json:"name"`
	Paused  bool   `json:"paused"`
	Pending int    `json:"pending_count"` // READY and due, of all backends
	Running int    `json:"running_count"`
	// Limit and Rate are the limits of the queue; nil: none.
	Limit *int       `json:"limit"`
	Rate  *QueueRate `json:"rate"`
	// Since when, by whom and why the queue is paused.
	PausedAt    time.Time `json:"paused_at,omitzero"`
	PausedBy    string    `json:"paused_by,omitempty"`
	PauseReason string    `json:"pause_reason,omitempty"`
}

// QueueRate is how many tasks of a queue may start within a time.
type QueueRate struct {
	Starts int    `json:"starts"`
	Per    string `json:"per"` // as [FormatPeriod] writes it
}

// GateRequest pauses or resumes a queue.
type GateRequest struct {
	Queue  string
	Actor  string // who requests it, for the audit log and the lists of queues
	Reason string // why, of a pause
}

// GateResult is what [Client.PauseQueue] or [Client.ResumeQueue] did.
type GateResult struct {
	Gate         Gate // as it is after a pause, and as it was before it was resumed
	Changed      bool // false: the queue was paused already, or was not paused
	Rows         int  // rows that this call parked, or made claimable again; other processes may have changed others meanwhile
	Undispatched int  // of the latter, rows whose tickets were refused; the sweeper dispatches them
	More         bool // it ended before all rows were; workers and the sweeper continue
	Paced        bool // it ended because it keeps to the rate of the queue ([Limit].Starts)
}

// The names of these actions in the audit log.
const (
	AuditPause  = "pause queue"
	AuditResume = "resume queue"
)

// gatekeeper returns the client's store as a [Gatekeeper], or [ErrUnsupported].
func (c *Client) gatekeeper() (Gatekeeper, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	store, ok := c.cfg.Store.(Gatekeeper)
	if !ok {
		return nil, fmt.Errorf("%w: %T does not implement queue.Gatekeeper", ErrUnsupported, c.cfg.Store)
	}
	return store, nil
}

// PauseQueue pauses a queue, in all backends: when it has returned, no claim of a task of
// the queue begins in any process, until [Client.ResumeQueue]. Tasks that run, or were
// prefetched, end normally. The queue's READY rows are parked in batches, so that they
// cost claims of other queues nothing; if ctx ends before all are, GateResult.More is
// true, and workers and the sweeper park the rest. progress, which may be nil, receives
// the number so far after each batch. Errors: [ErrInvalid] for a name that no queue can
// have, [ErrUnsupported] if the store is no [Gatekeeper], and the store's; after any of
// them the queue is not paused, or it is not known.
func (c *Client) PauseQueue(ctx context.Context, r GateRequest, progress func(rows int)) (result GateResult, err error) {
	store, err := c.gatekeeper()
	if err := cmp.Or(err, r.check()); err != nil {
		return result, err
	}
	r.Actor, r.Reason = cleanText(r.Actor, 200), cleanText(r.Reason, 500)
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		result.Gate, result.Changed, err = store.PauseQueue(ctx, r.Queue, r.Actor, r.Reason)
		return err
	})
	c.availability.observe(err)
	if err != nil {
		return result, err
	}
	if result.Changed {
		c.auditGate(ctx, AuditPause, r)
	}
	c.workGate(ctx, store, result.Gate, &result, progress)
	if result.Changed && c.limiter() != nil {
		c.admitAll(context.WithoutCancel(ctx)) // in the place of rows of the queue that were about to start
	}
	return result, nil
}

// ResumeQueue lets tasks of a paused queue be claimed again, and makes its parked rows
// claimable in batches. It dispatches those that are due, or whose deliveries were
// refused, and wakes workers. If ctx ends before all rows are, GateResult.More is true:
// workers and the sweeper continue, and so does another ResumeQueue. If the queue's starts
// are limited, no more rows are dispatched than may start in a minute, and More is true.
// progress is as in [Client.PauseQueue], and so are the errors.
func (c *Client) ResumeQueue(ctx context.Context, r GateRequest, progress func(rows int)) (result GateResult, err error) {
	store, err := c.gatekeeper()
	if err := cmp.Or(err, r.check()); err != nil {
		return result, err
	}
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		result.Gate, result.Changed, err = store.ResumeQueue(ctx, r.Queue)
		return err
	})
	c.availability.observe(err)
	if err != nil {
		return result, err
	}
	if result.Changed {
		c.auditGate(ctx, AuditResume, r)
		c.wakePullers(ctx) // for rows that were not parked
	}
	c.workGate(ctx, store, Gate{Queue: r.Queue, Parked: true}, &result, progress)
	if c.limiter() != nil {
		c.admitAll(context.WithoutCancel(ctx)) // those that waited for a limit when the queue was paused
	}
	return result, nil
}

func (r *GateRequest) check() error {
	if !validName(r.Queue) {
		return invalidf(`queue %.120q: use 1 to 100 letters, digits, "-", "_" or ".", and not "." or ".." alone`, r.Queue)
	}
	return nil
}

// auditGate records a pause or its end, where the store has an audit log.
func (c *Client) auditGate(ctx context.Context, action string, r GateRequest) {
	target := r.Queue
	if action == AuditPause && r.Reason != "" {
		target += ": " + r.Reason
	}
	c.auditDone(ctx, r.Actor, action, target)
}

// Gates returns the queues that are paused, and those that are not and may have parked
// rows, ordered by name. [ErrUnsupported] if the store is no [Gatekeeper].
func (c *Client) Gates(ctx context.Context) ([]Gate, error) {
	store, err := c.gatekeeper()
	if err != nil {
		return nil, err
	}
	var gates []Gate
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		gates, err = store.Gates(ctx)
		return err
	})
	c.availability.observeRead(err)
	return gates, err
}

// QueueStates returns the queues that are paused, and those that have unfinished tasks or
// tasks that ended within the last hour, ordered by name. [ErrUnsupported] if the store
// is no [Gatekeeper] and [Operator].
func (c *Client) QueueStates(ctx context.Context) ([]QueueState, error) {
	operator, err := c.Operator()
	if err != nil {
		return nil, err
	}
	gates, err := c.Gates(ctx)
	if err != nil {
		return nil, err
	}
	var stats []QueueStats
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		stats, err = operator.Queues(ctx)
		return err
	})
	c.availability.observeRead(err)
	if err != nil {
		return nil, err
	}
	limits, err := c.Limits(ctx)
	if err != nil && !errors.Is(err, ErrUnsupported) {
		return nil, err
	}
	return queueStates(gates, stats, limits), nil
}

// KnowsQueue reports whether anything is known of a queue but its gate: whether a
// registered task or the allow-list of a backend has it, or a task that is unfinished or
// ended within the last hour. [ErrUnsupported] if the store is no [Operator].
func (c *Client) KnowsQueue(ctx context.Context, name string) (bool, error) {
	operator, err := c.Operator()
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(c.registry.Tasks(), func(t TaskInfo) bool { return t.Queue == name }) {
		return true, nil
	}
	for _, backend := range c.backends {
		if slices.Contains(backend.Queues, name) {
			return true, nil
		}
	}
	var stats []QueueStats
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		stats, err = operator.Queues(ctx)
		return err
	})
	c.availability.observeRead(err)
	return slices.ContainsFunc(stats, func(s QueueStats) bool { return s.Queue == name }), err
}

// queueStates puts together what is known of each queue.
func queueStates(gates []Gate, stats []QueueStats, limits []Limit) []QueueState {
	states := []QueueState{}
	of := func(name string) *QueueState {
		i, found := slices.BinarySearchFunc(states, name, func(s QueueState, name string) int { return cmp.Compare(s.Name, name) })
		if !found {
			states = slices.Insert(states, i, QueueState{Name: name})
		}
		return &states[i]
	}
	for _, s := range stats {
		state := of(s.Queue)
		state.Pending += s.Pending
		state.Running += s.Running
	}
	for _, l := range limits {
		if l.Kind != LimitQueue {
			continue
		}
		state := of(l.Name)
		if l.Running > 0 {
			state.Limit = &l.Running
		}
		if l.Starts > 0 {
			state.Rate = &QueueRate{Starts: l.Starts, Per: FormatPeriod(l.Per)}
		}
	}
	for _, g := range gates {
		if g.Paused() {
			state := of(g.Queue)
			state.Paused, state.PausedAt, state.PausedBy, state.PauseReason = true, g.PausedAt, g.PausedBy, g.PauseReason
		}
	}
	return states
}

// pausedQueues returns the names of the paused queues; none if the store is no
// [Gatekeeper].
func (c *Client) pausedQueues(ctx context.Context) (names []string, err error) {
	gates, err := c.Gates(ctx)
	if errors.Is(err, ErrUnsupported) {
		return nil, nil
	}
	for _, g := range gates {
		if g.Paused() {
			names = append(names, g.Queue)
		}
	}
	return names, err
}
