package admin

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/problems"
)

// How long each part of the statistics stays fresh: many open tabs together query no
// more often than this.
const (
	keepStats   = 5 * time.Second
	keepRows    = 10 * time.Second
	keepMarks   = 15 * time.Second
	keepHistory = time.Minute
	keepSchema  = time.Minute
	// tooOld is the age from which a part is no longer shown.
	tooOld = 10 * time.Minute
)

// Limits of what the overview queries.
const (
	statsStatements = 4 // per request: the next one queries the rest
	statsGroups     = 100
	statsRows       = 100
	statsTimeout    = 15 * time.Second
)

// statsCache keeps the statistics of the process for all requests.
type statsCache struct {
	operator queue.Operator
	gate     func(context.Context) ([]queue.Gate, error)
	limit    func(context.Context, *queue.Row) ([]queue.LimitUse, error) // nil: the store keeps none
	schedule func(context.Context) ([]*queue.Schedule, error)            // nil: the store keeps none
	schema   func(context.Context) error                                 // nil: not asked, or the schema is right
	sweeps   bool                                                        // regular sweeps are expected

	mu        sync.Mutex // also lets only one request query
	queues    part[[]queue.QueueStats]
	gates     part[[]queue.Gate]
	limits    part[[]queue.LimitUse]
	schedules part[[]*queue.Schedule]
	failures  part[[]queue.FailureGroup]
	pending   part[[]*queue.Row] // stranded rows that are due
	delayed   part[[]*queue.Row] // stranded rows that wait for their time
	running   part[[]*queue.Row]
	marks     part[map[string]time.Time]
	history   part[[]queue.HourStats]
	schemaErr part[error]

	from map[queue.View]*string // where stranded rows are looked for next
}

// statsView is the statistics as one page shows them; unknown parts are nil.
type statsView struct {
	problems.State
	Gated   bool // queues can be paused
	Limited bool // and limited
	History []queue.HourStats
	Counted bool // History is known
	Failed  bool // Failures are known
	Partial bool // some parts are unknown yet: reload
}

func newStatsCache(cfg Config, operator queue.Operator) *statsCache {
	return &statsCache{operator: operator, gate: cfg.Client.Gates, limit: cfg.Client.LimitUse, schedule: cfg.Client.Schedules, schema: cfg.CheckSchema, sweeps: cfg.SweepEvery > 0, from: newFrom()}
}

// newFrom has an entry for each view, so that two can be searched at a time.
func newFrom() map[queue.View]*string {
	return map[queue.View]*string{queue.ViewPending: new(string), queue.ViewDelayed: new(string)}
}

// forget makes the next request refresh what an action of this process has changed.
func (c *statsCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range []*read{&c.queues.read, &c.gates.read, &c.limits.read, &c.schedules.read, &c.failures.read, &c.pending.read, &c.delayed.read, &c.running.read} {
		r.stale = true
	}
}

// known returns the queues as they were read last, without a query.
func (c *statsCache) known(now time.Time) []queue.QueueStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.queues.at) > tooOld {
		return nil
	}
	return c.queues.value
}

// limited reports whether the store may have limits.
func (c *statsCache) limited() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limit != nil
}

// look returns the statistics, refreshed as far as a few statements go. The next
// request refreshes the rest.
func (c *statsCache) look(ctx context.Context, now time.Time) (statsView, error) {
	return c.lookWithin(ctx, now, statsStatements)
}

// lookWithin is look for a page that sends other statements too.
func (c *statsCache) lookWithin(ctx context.Context, now time.Time, statements int) (statsView, error) {
	// Other requests wait for the result, so it outlives this one.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statsTimeout)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	partial, err := refreshParts(func() []refresh { return c.refreshes(ctx, now) }, now, statements)
	return statsView{
		State: problems.State{
			Queues: c.queues.value, QueuesAt: c.queues.at, Gates: c.gates.value, Limits: c.limits.value,
			Schedules: c.schedules.value, SchedulesAt: c.schedules.at, Failures: c.failures.value,
			Stranded: slices.Concat(c.pending.value, c.delayed.value), Running: c.running.value, RunningAt: c.running.at,
			Marks: c.marks.value, MarksAt: c.marks.at, SchemaErr: c.schemaErr.value,
		},
		Gated: c.gate != nil, Limited: c.limit != nil, History: c.history.value, Counted: !c.history.at.IsZero(), Failed: !c.failures.at.IsZero(), Partial: partial,
	}, err
}

// refreshes returns those of the needed parts, in the order of a first request.
func (c *statsCache) refreshes(ctx context.Context, now time.Time) []refresh {
	list := []refresh{
		newRefresh(&c.queues, keepStats, 1, func() ([]queue.QueueStats, error) { return c.operator.Queues(ctx) }),
		newRefresh(&c.failures, keepStats, 1, func() ([]queue.FailureGroup, error) {
			return c.operator.Failures(ctx, time.Unix(0, 0), statsGroups)
		}),
	}
	if c.gate != nil {
		list = append(list, newRefresh(&c.gates, keepStats, 1, func() (gates []queue.Gate, err error) {
			if gates, err = c.gate(ctx); errors.Is(err, queue.ErrUnsupported) {
				c.gate, err = nil, nil
			}
			return gates, err
		}))
	}
	if c.limit != nil {
		list = append(list, newRefresh(&c.limits, keepStats, 1, func() (use []queue.LimitUse, err error) {
			if use, err = c.limit(ctx, nil); errors.Is(err, queue.ErrUnsupported) {
				c.limit, err = nil, nil
			}
			return use, err
		}))
	}
	for i := range list {
		list[i].affected = true
	}
	if c.sweeps {
		list = append(list, newRefresh(&c.marks, keepMarks, 1, func() (map[string]time.Time, error) { return c.operator.Touched(ctx) }))
	}
	if c.schema != nil {
		list = append(list, newRefresh(&c.schemaErr, keepSchema, 1, func() (error, error) {
			behind := c.schema(ctx)
			if behind == nil { // it does not fall behind again
				c.schema = nil
			}
			return behind, nil
		}))
	}
	list = append(list, c.rowRefreshes(ctx)...)
	if c.schedule != nil {
		list = append(list, newRefresh(&c.schedules, keepMarks, 1, func() (all []*queue.Schedule, err error) {
			if all, err = c.schedule(ctx); errors.Is(err, queue.ErrUnsupported) {
				c.schedule, err = nil, nil
			}
			return all, err
		}))
	}
	return append(list,
		newRefresh(&c.history, keepHistory, 1, func() ([]queue.HourStats, error) {
			return c.operator.History(ctx, now.Add(-chartHours*time.Hour).Truncate(time.Hour).Add(time.Hour))
		}))
}

// rowRefreshes read the rows whose lease ends first and some of the stranded ones, if
// there are any.
func (c *statsCache) rowRefreshes(ctx context.Context) (list []refresh) {
	var t totals
	for _, q := range c.queues.value {
		t.Stranded, t.Running, t.Pending = t.Stranded+q.Stranded, t.Running+q.Running, t.Pending+q.Pending
	}
	add := func(p *part[[]*queue.Row], needed bool, cost int, ask func() ([]*queue.Row, error)) {
		e := newRefresh(p, keepRows, cost, ask)
		if !needed {
			e.drop()
			return
		}
		list = append(list, e)
	}
	add(&c.running, t.Running > 0, 1, func() ([]*queue.Row, error) {
		page, err := c.operator.List(ctx, queue.ListRequest{Selection: queue.Selection{View: queue.ViewRunning}, Limit: statsRows})
		return page.Rows, err
	})
	add(&c.pending, t.Stranded > 0 && t.Pending > 0, 2, func() ([]*queue.Row, error) { return c.stranded(ctx, queue.ViewPending) })
	add(&c.delayed, t.Stranded > 0, 2, func() ([]*queue.Row, error) { return c.stranded(ctx, queue.ViewDelayed) })
	return list
}

// stranded searches a view for stranded rows. If none is within the rows of one
// search, the next one continues from there.
func (c *statsCache) stranded(ctx context.Context, view queue.View) ([]*queue.Row, error) {
	page, err := c.operator.List(ctx, queue.ListRequest{Selection: queue.Selection{View: view, Stranded: true}, After: *c.from[view], Limit: statsRows})
	if err == nil && len(page.Rows) == 0 {
		*c.from[view] = page.Next
	}
	return page.Rows, err
}
