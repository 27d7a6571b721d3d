package admin

import (
	"context"
	"sync"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// How long each part of the board is good for: many open tabs ask no more often
// than this together.
const (
	keepFigures = 5 * time.Second
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
	board  queue.Board
	schema func(context.Context) error // nil: not asked, or the schema is right
	sweeps bool                        // somebody is expected to sweep

	mu        sync.Mutex // also lets only one request ask
	queues    part[[]queue.QueueFigures]
	failures  part[[]queue.FailureGroup]
	stranded  part[[]*queue.Row]
	running   part[[]*queue.Row]
	marks     part[map[string]time.Time]
	history   part[[]queue.HourFigures]
	schemaErr part[error]
}

// part is one thing that is known, and since when.
type part[T any] struct {
	value T
	at    time.Time // zero: it is not known
	stale bool      // something was changed since
}

// boardView is the board as one page shows it: nil is what is not known yet.
type boardView struct {
	Queues    []queue.QueueFigures
	Failures  []queue.FailureGroup
	Stranded  []*queue.Row
	Running   []*queue.Row
	Marks     map[string]time.Time // nil: not known
	History   []queue.HourFigures
	Counted   bool // History is known
	SchemaErr error
	Partial   bool // not all is known yet: look again
}

func newBoardCache(cfg Config) *boardCache {
	return &boardCache{board: cfg.Client.Board(), schema: cfg.CheckSchema, sweeps: cfg.SweepEvery > 0}
}

// forget makes the next look a new one, after something was changed here.
func (b *boardCache) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queues.stale, b.failures.stale, b.stranded.stale, b.running.stale = true, true, true, true
}

// known is what is known of the queues, without asking.
func (b *boardCache) known(now time.Time) []queue.QueueFigures {
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
	r := refresh{now: now, left: boardStatements}
	renew(&r, &b.queues, keepFigures, 1, func() ([]queue.QueueFigures, error) { return b.board.Queues(ctx) })
	renew(&r, &b.failures, keepFigures, 1, func() ([]queue.FailureGroup, error) {
		return b.board.Failures(ctx, time.Unix(0, 0), boardGroups)
	})
	var stranded, running int
	for _, q := range b.queues.value {
		stranded, running = stranded+q.Stranded, running+q.Running
	}
	b.renewRows(ctx, &r, stranded > 0, running > 0)
	if b.sweeps {
		renew(&r, &b.marks, keepMarks, 1, func() (map[string]time.Time, error) { return b.board.Marks(ctx) })
	}
	if b.schema != nil {
		renew(&r, &b.schemaErr, keepSchema, 1, func() (error, error) { return b.schema(ctx), nil })
		if !b.schemaErr.at.IsZero() && b.schemaErr.value == nil {
			b.schema = nil
		}
	}
	renew(&r, &b.history, keepHistory, 1, func() ([]queue.HourFigures, error) {
		return b.board.History(ctx, now.Add(-chartHours*time.Hour).Truncate(time.Hour).Add(time.Hour))
	})
	return boardView{
		Queues: b.queues.value, Failures: b.failures.value, Stranded: b.stranded.value, Running: b.running.value,
		Marks: b.marks.value, History: b.history.value, Counted: !b.history.at.IsZero(), SchemaErr: b.schemaErr.value, Partial: r.more,
	}, r.err
}

// renewRows looks at some of the rows that are stranded, and at those whose
// lease ends first, if there are any.
func (b *boardCache) renewRows(ctx context.Context, r *refresh, stranded, running bool) {
	rows := func(s queue.Selection) ([]*queue.Row, error) {
		page, err := b.board.List(ctx, queue.ListRequest{Selection: s, Limit: boardRows})
		return page.Rows, err
	}
	if stranded {
		renew(r, &b.stranded, keepFigures, 2, func() ([]*queue.Row, error) {
			return rows(queue.Selection{View: queue.ViewPending, Stranded: true})
		})
	} else {
		b.stranded = part[[]*queue.Row]{}
	}
	if running {
		renew(r, &b.running, keepFigures, 1, func() ([]*queue.Row, error) { return rows(queue.Selection{View: queue.ViewRunning}) })
	} else {
		b.running = part[[]*queue.Row]{}
	}
}

// refresh is one look: what it may still ask, and what became of it.
type refresh struct {
	now  time.Time
	left int  // statements
	more bool // something is not known yet
	err  error
}

// renew asks for a part that is older than it may be, if the look may ask that
// much. A part that is a little old stays until then; one that is too old goes.
func renew[T any](r *refresh, p *part[T], keep time.Duration, statements int, ask func() (T, error)) {
	age := r.now.Sub(p.at)
	if r.err != nil || age < keep && !p.stale {
		return
	}
	if statements <= r.left {
		r.left -= statements
		value, err := ask()
		if err == nil {
			*p = part[T]{value: value, at: r.now}
			return
		}
		r.err = err
	}
	if age > tooOld {
		*p = part[T]{}
	}
	r.more = r.more || p.stale || p.at.IsZero()
}
