package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// ErrBacklogFull is the error of an enqueue that is refused: the queue has as many READY tasks as [Config].MaxBacklog allows, so
// nothing was stored. The same enqueue may succeed later.
var ErrBacklogFull = errors.New("the queue's backlog is full")

// BacklogCounter is a [Store] that counts the READY rows of a queue, up to a limit:
// [Config].MaxBacklog requires it.
type BacklogCounter interface {
	CountReady(ctx context.Context, backend, queue string, limit int) (int, error)
}

// anyQueue is the key of [Config].MaxBacklog for queues that it does not name.
const anyQueue = ""

// backlogFreshness is how long a client relies on a count of a queue's backlog. It adds
// its own enqueues to it.
const backlogFreshness = time.Second

// backlogs are the counts of the queues that have a bound.
type backlogs struct {
	mu     sync.Mutex
	queues map[route]*backlog
}

// route is a queue of a backend.
type route struct{ backend, queue string }

// backlog is the count of one queue. It is locked while it is counted, so that one call
// counts for all that wait.
type backlog struct {
	mu sync.Mutex
	n  int // READY rows, at most one more than the bound
	at time.Time
}

func (b *backlogs) of(r route) *backlog {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queues == nil {
		b.queues = make(map[route]*backlog)
	}
	if b.queues[r] == nil {
		b.queues[r] = new(backlog)
	}
	return b.queues[r]
}

// checkBacklogs refuses bounds that are no bounds, or that the store cannot count for.
func (cfg *Config) checkBacklogs() error {
	if len(cfg.MaxBacklog) == 0 {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.MaxBacklog)) {
		if n := cfg.MaxBacklog[name]; n < 1 || name != anyQueue && !validName(name) {
			return fmt.Errorf(`queue: Config.MaxBacklog[%.120q] is %d: the key is the name of a queue, or empty for all others, and the value at least 1`, name, n)
		}
	}
	if _, ok := cfg.Store.(BacklogCounter); !ok {
		return fmt.Errorf("queue: Config.MaxBacklog: %w: %T is no queue.BacklogCounter", ErrUnsupported, cfg.Store)
	}
	return nil
}

// maxBacklog returns the bound of a queue; 0 is none.
func (c *Client) maxBacklog(queue string) int {
	if n, named := c.cfg.MaxBacklog[queue]; named {
		return n
	}
	return c.cfg.MaxBacklog[anyQueue]
}

// checkRoom refuses rows for which a queue has no room. They count from then on, whether
// or not they are stored: the next count corrects it.
func (c *Client) checkRoom(ctx context.Context, rows []*NewRow) error {
	if len(c.cfg.MaxBacklog) == 0 {
		return nil
	}
	wanted := make(map[route]int)
	for _, row := range rows {
		if c.maxBacklog(row.Queue) > 0 {
			wanted[route{row.Backend, row.Queue}]++
		}
	}
	for r, n := range wanted {
		if err := c.reserveRoom(ctx, r, n); err != nil {
			return err
		}
	}
	return nil
}

// reserveRoom adds n rows to a queue's backlog, or returns ErrBacklogFull.
func (c *Client) reserveRoom(ctx context.Context, r route, n int) error {
	limit, b := c.maxBacklog(r.queue), c.backlogs.of(r)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.at.IsZero() || time.Since(b.at) >= backlogFreshness {
		err := within(ctx, statementTimeout, func(ctx context.Context) (err error) {
			b.n, err = c.cfg.Store.(BacklogCounter).CountReady(ctx, r.backend, r.queue, limit+1)
			return err
		})
		c.availability.observeRead(err)
		if err != nil {
			return fmt.Errorf("enqueue: %w", err)
		}
		b.at = time.Now()
	}
	if b.n+n > limit {
		return fmt.Errorf("queue_name %q: %w: it has %d READY tasks, and may have %d; retry when some of them have been claimed", r.queue, ErrBacklogFull, b.n, limit)
	}
	b.n += n
	return nil
}
