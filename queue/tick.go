package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// TickResult is what a tick did.
type TickResult struct {
	// Enqueued is how many tasks were stored for occurrences of schedules.
	Enqueued int `json:"enqueued"`
	// Failed is how many schedules that are due could not be enqueued, for a reason of
	// their own, which is logged: the same one once a minute.
	Failed int `json:"failed,omitempty"`
}

const (
	// MaxTickAhead is the longest time ahead that Tick accepts.
	MaxTickAhead = time.Hour
	tickBudget   = 30 * time.Second
	tickLimit    = 1000 // schedules that one statement finds due
	tickBatch    = 100  // occurrences of one transaction, and tasks of one dispatch
)

// Tick enqueues the occurrences of schedules that are due now. With ahead it also
// enqueues the next occurrence of each schedule that is due within that time, at most
// one of each, to run at its time; it leaves out schedules that run more than once a
// minute, those whose task has a key ([Unique]), and those with OverlapSkip of which a
// task has not ended. Pausing, changing and deleting a schedule cancel such a task while
// it waits.
//
// Any number of ticks may run at once, in any processes: each occurrence is enqueued
// once. A schedule is otherwise as punctual as its ticks: [Client.Sweep], [Local] and
// continuous workers tick by themselves. The first Tick of a process stores the
// schedules of its [Registry].
//
// Errors: [ErrUnsupported] if the store is no [Scheduler], [ErrInvalid] for an ahead
// that is negative or longer than [MaxTickAhead], and the store's, with which what was
// enqueued before is returned. An error of one schedule does not stop the others: it is
// logged, and counted as Failed.
func (c *Client) Tick(ctx context.Context, ahead time.Duration) (TickResult, error) {
	store, err := c.scheduler()
	if err != nil {
		return TickResult{}, err
	}
	if ahead < 0 || ahead > MaxTickAhead {
		return TickResult{}, invalidf("ahead must be from 0 to %s, not %s", MaxTickAhead, ahead)
	}
	t := &tick{client: c, store: store, ahead: ahead}
	err = t.run(ctx)
	return TickResult{Enqueued: t.enqueued, Failed: t.failed}, err
}

// tick is one pass over the schedules that are due.
type tick struct {
	client   *Client
	store    Scheduler
	ahead    time.Duration
	enqueued int
	locked   bool          // a schedule that is due was locked by another tick
	failed   int           // schedules that are due and failed
	next     time.Duration // until another one is due; 0: none
	made     []*Handle     // tasks that are not dispatched yet
	until    time.Time     // when its time is over
}

func (t *tick) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tickBudget)
	defer cancel()
	t.until, _ = ctx.Deadline()
	err := t.client.syncSchedules(ctx)
	for more := err == nil; more && ctx.Err() == nil; {
		var names []string
		if names, err = t.due(ctx); err != nil {
			break
		}
		more, err = t.pass(ctx, names)
	}
	t.client.availability.observeRead(err)
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil // the next tick continues
	}
	return err
}

// due returns the schedules that are due.
func (t *tick) due(ctx context.Context) (names []string, err error) {
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		names, t.next, err = t.store.DueSchedules(ctx, t.ahead, tickLimit)
		return err
	})
	return names, err
}

// pass enqueues some of what is due of each schedule, and reports whether there may be
// more. Its error is about the database.
func (t *tick) pass(ctx context.Context, names []string) (more bool, _ error) {
	t.locked, t.failed = false, 0
	defer t.dispatch(ctx)
	for _, name := range names {
		if ctx.Err() != nil {
			break
		}
		changed, err := t.one(ctx, name)
		more = more || changed
		switch {
		case errors.Is(err, ErrLocked), errors.Is(err, ErrContended): // by another tick, which enqueues it
			t.locked = true
		case errors.Is(err, ErrUnavailable): // one time-out is enough
			return false, err
		case err != nil:
			t.failed++
			if t.client.ticker.isNews(name, err) {
				t.client.cfg.Logger.Error("a schedule could not be enqueued", "schedule", name, "error", err)
			}
		}
	}
	return more, nil //nolint:nilerr // the others are about one schedule
}

// dispatch dispatches what a pass has stored, so that a dispatcher that hangs does not
// keep occurrences from being stored in time. When the time is over, the sweeper does it.
func (t *tick) dispatch(ctx context.Context) {
	for first := true; len(t.made) > 0 && (first || time.Now().Before(t.until)); first = false {
		n := min(len(t.made), tickBatch)
		t.client.dispatchInserted(context.WithoutCancel(ctx), t.made[:n])
		t.made = t.made[n:]
	}
	t.made = nil
}

// one enqueues what is due of one schedule, up to tickBatch occurrences.
func (t *tick) one(ctx context.Context, name string) (changed bool, err error) {
	// It is not cut short with ctx: it would not be known what was enqueued.
	ctx = context.WithoutCancel(ctx)
	made, err := t.client.storeSchedule(ctx, t.store, name, func(s ScheduleState) (*ScheduleChange, error) {
		change, err := t.client.due(s, t.ahead)
		changed = err == nil && change != nil
		return change, err
	}, func(_ context.Context, made []*Handle) { t.made = append(t.made, made...) })
	for _, handle := range made {
		if !handle.Existed {
			t.enqueued++
		}
	}
	return changed && err == nil, err
}

// changeSchedule changes a schedule, dispatches the tasks that it inserted, and returns
// them.
func (c *Client) changeSchedule(ctx context.Context, store Scheduler, name string, change func(ScheduleState) (*ScheduleChange, error)) ([]*Handle, error) {
	return c.storeSchedule(ctx, store, name, change, c.dispatchInserted)
}

// storeSchedule is changeSchedule that leaves the dispatch of tasks to a function.
func (c *Client) storeSchedule(ctx context.Context, store Scheduler, name string, change func(ScheduleState) (*ScheduleChange, error), dispatch func(context.Context, []*Handle)) ([]*Handle, error) {
	var rows []*NewRow
	var middleware *splitEnqueue
	inserting, ended := ctx, func(error) {}
	err := within(ctx, statementTimeout, func(ctx context.Context) error {
		return store.ChangeSchedule(ctx, name, func(s ScheduleState) (*ScheduleChange, error) {
			ended(ErrContended) // of the transaction that is repeated
			_ = middleware.end(ErrContended)
			rows, middleware, ended = nil, nil, func(error) {}
			made, err := change(s)
			if err == nil && made != nil && len(made.Rows) > 0 {
				rows = made.Rows
				inserting = ctx
				if c.chains.surrounds(rows) {
					seal := c.openOccurrences(ctx, rows)
					if middleware, inserting, err = c.chains.begin(ctx, rows); err != nil {
						return nil, err
					}
					seal()
				}
				inserting, ended = c.enqueuing(inserting, rows)
			}
			return made, err
		})
	})
	if err != nil {
		ended(err)
		_ = middleware.end(err) // the tick acts on the store's
		return nil, err
	}
	stored := rows[:0:0]
	for _, row := range rows {
		if row.ID != uuid.Nil {
			stored = append(stored, row)
		}
	}
	handles, err := c.inserted(ctx, stored, nil)
	if err == nil && len(handles) > 0 {
		dispatch(context.WithoutCancel(inserting), handles)
	}
	ended(err)
	return handles, middleware.end(err)
}

// scheduler returns the store as a Scheduler.
func (c *Client) scheduler() (Scheduler, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	scheduler, ok := c.cfg.Store.(Scheduler)
	if !ok {
		return nil, fmt.Errorf("%w: %T does not implement queue.Scheduler", ErrUnsupported, c.cfg.Store)
	}
	return scheduler, nil
}
