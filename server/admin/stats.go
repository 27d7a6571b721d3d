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
	keepFigures = time.Minute
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
	// statsPatience is how long a page waits for statistics: what is not known by then is
	// on the page that is loaded next.
	statsPatience = 60 * time.Millisecond
)

// statsCache keeps the statistics of the process for all requests.
type statsCache struct {
	operator queue.Operator
	patience time.Duration
	overview func(context.Context, queue.OverviewRequest) (queue.Overview, error)
	gate     func(context.Context) ([]queue.Gate, error)
	limit    func(context.Context, *queue.Row) ([]queue.LimitUse, error)        // nil: the store keeps none
	schedule func(context.Context) ([]*queue.Schedule, error)                   // nil: the store keeps none
	figure   func(context.Context, queue.FiguresRequest) (queue.Figures, error) // nil: the store keeps none
	schema   func(context.Context) error                                        // nil: not asked, or the schema is right
	sweeps   bool                                                               // regular sweeps are expected
	names    []string                                                           // that the program registers

	mu        sync.Mutex
	running   *running // the refresh that is under way; nil: none is
	failed    error    // of the last refresh; nil if it succeeded
	counted   part[queue.Overview]
	gates     part[[]queue.Gate]
	limits    part[[]queue.LimitUse]
	schedules part[[]*queue.Schedule]
	pending   part[[]*queue.Row] // stranded rows that are due
	delayed   part[[]*queue.Row] // stranded rows that wait for their time
	strangers part[[]*queue.Row] // stranded rows that are due and whose names are not registered, if pending has not all
	claimed   part[[]*queue.Row] // RUNNING rows
	stored    part[bool]         // there is a task; read only if none waits, runs or has failed
	marks     part[map[string]time.Time]
	figures   part[*figures]
	schemaErr part[error]

	// Where stranded rows are looked for next, and those whose names are not registered; only a
	// refresh has them.
	from    map[queue.View]*string
	unknown unknownNames
}

// running is a refresh of some parts, which any number of requests wait for.
type running struct {
	started time.Time
	done    chan struct{}
}

// statsView is the statistics as one page shows them; unknown parts are nil.
type statsView struct {
	problems.State
	Known   bool     // Queues and Failures are known, as of QueuesAt
	Gated   bool     // queues can be paused
	Limited bool     // and limited
	Figures *figures // nil: they are unknown yet, or the store keeps none
	Figured bool     // the store keeps figures
	Partial bool     // some parts are unknown yet: reload
	Empty   bool     // there is no task, and no figure of an earlier one
	Unread  bool     // of these, queues, their gates or their limits
	Changed bool     // an action of this process may have changed Queues, Failures or Gates since they were read
	Regated bool     // of these, Gates
}

func newStatsCache(cfg Config, operator queue.Operator, names []string) *statsCache {
	return &statsCache{
		names:    names,
		operator: operator, patience: statsPatience, overview: cfg.Client.Overview, gate: cfg.Client.Gates, limit: cfg.Client.LimitUse,
		schedule: cfg.Client.Schedules, figure: cfg.Client.Figures, schema: cfg.CheckSchema, sweeps: cfg.SweepEvery > 0, from: newFrom(),
	}
}

// newFrom has an entry for each view, so that two can be searched at a time.
func newFrom() map[queue.View]*string {
	return map[queue.View]*string{queue.ViewPending: new(string), queue.ViewDelayed: new(string)}
}

// forget makes the next request refresh what an action of this process has changed.
func (c *statsCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range []*read{&c.counted.read, &c.gates.read, &c.limits.read, &c.schedules.read, &c.pending.read, &c.delayed.read, &c.strangers.read, &c.claimed.read} {
		r.stale = true
		r.changes++
	}
}

// known returns the queues as they were read last, without a query.
func (c *statsCache) known(now time.Time) []queue.QueueStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.counted.at) > tooOld {
		return nil
	}
	return c.counted.value.Queues
}

// holds returns which queues are paused, and whether limits exist, as far as is known.
func (c *statsCache) holds() (paused map[string]bool, limited bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	paused = make(map[string]bool)
	for _, g := range c.gates.value {
		if g.Paused() {
			paused[g.Queue] = true
		}
	}
	return paused, len(c.limits.value) > 0
}

// limited reports whether the store may have limits.
func (c *statsCache) limited() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limit != nil
}

// look returns the statistics as far as they are known. It starts a refresh of what is due,
// a few statements, unless one is under way, and waits for it for a moment only: a page
// never takes as long as the database. The next request starts the refresh of the rest.
func (c *statsCache) look(ctx context.Context, now time.Time) (statsView, error) {
	return c.lookWithin(ctx, now, statsStatements)
}

// lookWithin is look for a page that sends other statements too.
func (c *statsCache) lookWithin(ctx context.Context, now time.Time, statements int) (statsView, error) {
	return c.lookFor(ctx, now, statements, c.refreshes)
}

// lookAtFigures returns what is known, with figures that are refreshed if they are old, in
// one statement at most.
func (c *statsCache) lookAtFigures(ctx context.Context, now time.Time) (statsView, error) {
	return c.lookFor(ctx, now, 1, c.figureRefresh)
}

// lookFigured is lookWithin for a page that shows figures above all.
func (c *statsCache) lookFigured(ctx context.Context, now time.Time, statements int) (statsView, error) {
	return c.lookFor(ctx, now, statements, func(ctx context.Context, now time.Time) []refresh {
		list := c.refreshes(ctx, now)
		figures := len(c.figureRefresh(ctx, now)) // they are the last ones
		return slices.Concat(list[len(list)-figures:], list[:len(list)-figures])
	})
}

// lookFor is look for some parts.
func (c *statsCache) lookFor(ctx context.Context, now time.Time, statements int, list func(context.Context, time.Time) []refresh) (statsView, error) {
	return c.lookUntil(ctx, now, time.Now(), statements, list)
}

// lookUntil is lookFor for a page that was begun at some time, and has waited since.
func (c *statsCache) lookUntil(ctx context.Context, now, begun time.Time, statements int, list func(context.Context, time.Time) []refresh) (statsView, error) {
	patience := time.NewTimer(c.patience - time.Since(begun))
	defer patience.Stop()
	for started := false; !started; {
		var r *running
		if r, started = c.refreshed(ctx, now, statements, list); r == nil {
			break
		}
		select {
		case <-r.done:
		case <-patience.C:
			started = true
		case <-ctx.Done():
			started = true
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := errors.AsType[panicked](c.failed); ok {
		c.failed = nil
		panic(p.value) // it ends the request only
	}
	return c.view(ctx, now), c.failed
}

// view is what is known. c.mu is held.
func (c *statsCache) view(ctx context.Context, now time.Time) statsView {
	wanting := false
	for _, r := range c.refreshes(ctx, now) {
		if !r.at.IsZero() && now.Sub(r.at) > tooOld {
			r.drop()
		}
		wanting = wanting || r.wanting(now, r.keep)
	}
	return statsView{
		State: problems.State{
			Queues: c.counted.value.Queues, QueuesAt: c.counted.at, Gates: c.gates.value, Limits: c.limits.value,
			Schedules: c.schedules.value, SchedulesAt: c.schedules.at, Failures: c.counted.value.Failures,
			Stranded: distinct(slices.Concat(c.pending.value, c.delayed.value, c.strangers.value)), Running: c.claimed.value, RunningAt: c.claimed.at,
			Marks: c.marks.value, MarksAt: c.marks.at, SchemaErr: c.schemaErr.value,
		},
		Known: !c.counted.at.IsZero(), Gated: c.gate != nil, Limited: c.limit != nil,
		Figures: c.figures.value, Figured: c.figure != nil, Partial: wanting,
		Empty:   !c.stored.at.IsZero() && !c.stored.value && (c.figures.value == nil || len(c.figures.value.Hours) == 0),
		Changed: c.counted.stale || c.gates.stale, Regated: c.gates.stale,
		Unread: c.counted.wanting(now, keepStats) || c.gate != nil && c.gates.wanting(now, keepStats) || c.limit != nil && c.limits.wanting(now, keepStats),
	}
}

// refreshed returns the refresh that is under way, or one that it starts, if anything is
// due of a list of parts.
func (c *statsCache) refreshed(ctx context.Context, now time.Time, statements int, list func(context.Context, time.Time) []refresh) (r *running, started bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running != nil {
		return c.running, false
	}
	if len(urgent(list(ctx, now), now, statements)) == 0 {
		return nil, false
	}
	r = &running{started: time.Now(), done: make(chan struct{})}
	c.running = r
	// Other requests wait for the result, and the next ones show it, so it outlives this one.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statsTimeout)
	go func() {
		defer cancel()
		err := refreshParts(&c.mu, func() []refresh { return list(ctx, now) }, now, statements)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.running = nil
		// A process that was frozen meanwhile, as between two requests on Cloud Run, knows
		// nothing of the database.
		if frozen := time.Since(r.started) > statsTimeout+5*time.Second; !frozen || err == nil {
			c.failed = err
		}
		close(r.done)
	}()
	return r, true
}

// refreshes returns those of the needed parts, in the order of a first request.
func (c *statsCache) refreshes(ctx context.Context, now time.Time) []refresh {
	list := []refresh{newRefresh(&c.counted, keepStats, 1, func() (queue.Overview, error) {
		return c.overview(ctx, queue.OverviewRequest{Since: dayBegins(now), Groups: statsGroups})
	})}
	if gate := c.gate; gate != nil {
		list = append(list, newRefresh(&c.gates, keepStats, 1, func() ([]queue.Gate, error) {
			gates, err := gate(ctx)
			return gates, c.unless(err, func() { c.gate = nil })
		}))
	}
	if limit := c.limit; limit != nil {
		list = append(list, newRefresh(&c.limits, keepStats, 1, func() ([]queue.LimitUse, error) {
			use, err := limit(ctx, nil)
			return use, c.unless(err, func() { c.limit = nil })
		}))
	}
	for i := range list {
		list[i].affected = true
	}
	if c.sweeps {
		list = append(list, newRefresh(&c.marks, keepMarks, 1, func() (map[string]time.Time, error) { return c.operator.Touched(ctx) }))
	}
	if schema := c.schema; schema != nil {
		list = append(list, newRefresh(&c.schemaErr, keepSchema, 1, func() (error, error) {
			behind := schema(ctx)
			if behind == nil { // it does not fall behind again
				c.mu.Lock()
				defer c.mu.Unlock()
				c.schema = nil
			}
			return behind, nil
		}))
	}
	list = append(list, c.rowRefreshes(ctx)...)
	if schedule := c.schedule; schedule != nil {
		list = append(list, newRefresh(&c.schedules, keepMarks, 1, func() ([]*queue.Schedule, error) {
			all, err := schedule(ctx)
			return all, c.unless(err, func() { c.schedule = nil })
		}))
	}
	return append(list, c.figureRefresh(ctx, now)...)
}

// figureRefresh reads the figures, if the store keeps some.
func (c *statsCache) figureRefresh(ctx context.Context, now time.Time) []refresh {
	figure := c.figure
	if figure == nil {
		return nil
	}
	known := c.figures.value
	return []refresh{newRefresh(&c.figures, keepFigures, 1, func() (*figures, error) {
		read, err := known.read(ctx, figure, now)
		return read, c.unless(err, func() { c.figure = nil })
	})}
}

// unless returns err, unless it says that the store has nothing of the kind: that is not
// asked for again.
func (c *statsCache) unless(err error, unsupported func()) error {
	if !errors.Is(err, queue.ErrUnsupported) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	unsupported()
	return nil
}
