package admin

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// How long each part of the board is good for: many open tabs ask no more often
// than this together.
const (
	keepFigures = 5 * time.Second
	keepRows    = 10 * time.Second
	keepMarks   = 15 * time.Second
	keepHistory = time.Minute
	keepSchema  = time.Minute
	// tooOld is the age from which a part is not shown any more.
	tooOld = 10 * time.Minute
)

// Bounds of what the overview asks for.
const (
	boardStatements = 4 // per request: the rest comes with the next one
	boardGroups     = 100
	boardRows       = 100
	boardTimeout    = 15 * time.Second
)

// boardCache is what the process knows of the board, for all who look.
type boardCache struct {
	board  queue.Operator
	schema func(context.Context) error // nil: not asked, or the schema is right
	sweeps bool                        // somebody is expected to sweep

	mu        sync.Mutex // also lets only one request ask
	queues    part[[]queue.QueueStats]
	failures  part[[]queue.FailureGroup]
	pending   part[[]*queue.Row] // stranded rows that are due
	delayed   part[[]*queue.Row] // stranded rows that wait for their time
	running   part[[]*queue.Row]
	marks     part[map[string]time.Time]
	history   part[[]queue.HourStats]
	schemaErr part[error]

	from map[queue.View]string // where stranded rows are looked for next
}

// boardView is the board as one page shows it: nil is what is not known yet.
type boardView struct {
	Queues    []queue.QueueStats
	QueuesAt  time.Time // what is wrong is told from when it was read: it may be mended by now
	Failures  []queue.FailureGroup
	Stranded  []*queue.Row // some of them
	Running   []*queue.Row
	RunningAt time.Time
	Marks     map[string]time.Time // nil: not known
	MarksAt   time.Time
	History   []queue.HourStats
	Counted   bool // History is known
	SchemaErr error
	Partial   bool // not all is known yet: look again
}

func newBoardCache(cfg Config, operator queue.Operator) *boardCache {
	return &boardCache{board: operator, schema: cfg.CheckSchema, sweeps: cfg.SweepEvery > 0, from: make(map[queue.View]string)}
}

// forget makes the next look a new one, after something was changed here.
func (b *boardCache) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range []*read{&b.queues.read, &b.failures.read, &b.pending.read, &b.delayed.read, &b.running.read} {
		r.stale = true
	}
}

// known is what is known of the queues, without asking.
func (b *boardCache) known(now time.Time) []queue.QueueStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.queues.at) > tooOld {
		return nil
	}
	return b.queues.value
}

// look returns the board, none of it older than it may be, as far as a few
// statements go. What is left is asked by the next look.
func (b *boardCache) look(ctx context.Context, now time.Time) (boardView, error) {
	// Others wait for what this asks, so it does not end with one request.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), boardTimeout)
	defer cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	partial, err := renew(func() []errand { return b.errands(ctx, now) }, now, boardStatements)
	return boardView{
		Queues: b.queues.value, QueuesAt: b.queues.at, Failures: b.failures.value,
		Stranded: slices.Concat(b.pending.value, b.delayed.value), Running: b.running.value, RunningAt: b.running.at,
		Marks: b.marks.value, MarksAt: b.marks.at, History: b.history.value, Counted: !b.history.at.IsZero(),
		SchemaErr: b.schemaErr.value, Partial: partial,
	}, err
}

// errands are the parts that are needed, in the order of a first look.
func (b *boardCache) errands(ctx context.Context, now time.Time) []errand {
	list := []errand{
		errandFor(&b.queues, keepFigures, 1, func() ([]queue.QueueStats, error) { return b.board.Queues(ctx) }),
		errandFor(&b.failures, keepFigures, 1, func() ([]queue.FailureGroup, error) {
			return b.board.Failures(ctx, time.Unix(0, 0), boardGroups)
		}),
	}
	list[0].told, list[1].told = true, true
	if b.sweeps {
		list = append(list, errandFor(&b.marks, keepMarks, 1, func() (map[string]time.Time, error) { return b.board.Touched(ctx) }))
	}
	if b.schema != nil {
		list = append(list, errandFor(&b.schemaErr, keepSchema, 1, func() (error, error) {
			behind := b.schema(ctx)
			if behind == nil { // it does not fall behind again
				b.schema = nil
			}
			return behind, nil
		}))
	}
	return append(append(list, b.rowErrands(ctx)...),
		errandFor(&b.history, keepHistory, 1, func() ([]queue.HourStats, error) {
			return b.board.History(ctx, now.Add(-chartHours*time.Hour).Truncate(time.Hour).Add(time.Hour))
		}))
}

// rowErrands look at the rows whose lease ends first, and at some of those that
// are stranded, if there are any.
func (b *boardCache) rowErrands(ctx context.Context) (list []errand) {
	var t totals
	for _, q := range b.queues.value {
		t.Stranded, t.Running, t.Pending = t.Stranded+q.Stranded, t.Running+q.Running, t.Pending+q.Pending
	}
	add := func(p *part[[]*queue.Row], needed bool, cost int, ask func() ([]*queue.Row, error)) {
		e := errandFor(p, keepRows, cost, ask)
		if !needed {
			e.drop()
			return
		}
		list = append(list, e)
	}
	add(&b.running, t.Running > 0, 1, func() ([]*queue.Row, error) {
		page, err := b.board.List(ctx, queue.ListRequest{Selection: queue.Selection{View: queue.ViewRunning}, Limit: boardRows})
		return page.Rows, err
	})
	add(&b.pending, t.Stranded > 0 && t.Pending > 0, 2, func() ([]*queue.Row, error) { return b.stranded(ctx, queue.ViewPending) })
	add(&b.delayed, t.Stranded > 0, 2, func() ([]*queue.Row, error) { return b.stranded(ctx, queue.ViewDelayed) })
	return list
}

// stranded looks for stranded rows in a view. If none is in as many rows as one
// look goes through, the next look goes on from there.
func (b *boardCache) stranded(ctx context.Context, view queue.View) ([]*queue.Row, error) {
	page, err := b.board.List(ctx, queue.ListRequest{Selection: queue.Selection{View: view, Stranded: true}, After: b.from[view], Limit: boardRows})
	if err == nil && len(page.Rows) == 0 {
		b.from[view] = page.Next
	}
	return page.Rows, err
}
