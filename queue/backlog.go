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

// neverFits is the error, an ErrInvalid, of a call with more tasks for a queue than that may
// have: unlike one that is ErrBacklogFull, it never succeeds.
type neverFits struct {
	queue    string
	n, limit int
}

func (e *neverFits) Error() string {
	return fmt.Sprintf("queue_name %q: %d tasks in one call never fit into its backlog, which may have %d READY tasks: enqueue at most %d at a time, or raise the bound", e.queue, e.n, e.limit, e.limit)
}

func (e *neverFits) Is(target error) bool { return target == ErrInvalid }

// isFull reports whether a queue has no room, now or ever.
func isFull(err error) bool {
	var never *neverFits
	return errors.Is(err, ErrBacklogFull) || errors.As(err, &never)
}

// BacklogCounter is a [Store] that counts the READY rows of a queue, up to a limit:
// [Config].MaxBacklog requires it.
type BacklogCounter interface {
	// CountReady counts in tx, the caller's transaction, unless it is nil: the pool may
	// have no other connection while such transactions are open.
	CountReady(ctx context.Context, tx Tx, backend, queue string, limit int) (int, error)
	// Existing reports for each of rows whether Insert would store no new row for it: its
	// ID exists, another row holds its UniqueKey, or an earlier one of rows has one of
	// these. It changes nothing. With a tx that is not nil it looks as InsertTx would.
	Existing(ctx context.Context, tx Tx, rows ...*NewRow) ([]bool, error)
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

// MaxBacklog returns how many READY tasks a queue may have in each backend before enqueues
// are refused ([Config].MaxBacklog); 0: any number.
func (c *Client) MaxBacklog(queue string) int {
	if c.check() != nil {
		return 0
	}
	if n, named := c.cfg.MaxBacklog[queue]; named {
		return n
	}
	return c.cfg.MaxBacklog[anyQueue]
}

// room is what an enqueue has reserved in the backlogs of queues.
type room map[route]places

type places struct {
	n  int
	at time.Time // of the count that it was added to
}

// checkRoom refuses rows for which a queue has no room. Those that would not be new rows
// need none. tx is the caller's transaction, if there is one. The rows count from then on,
// until freeRoom or the next count.
func (c *Client) checkRoom(ctx context.Context, tx Tx, rows []*NewRow) (room, error) {
	if len(c.cfg.MaxBacklog) == 0 {
		return nil, nil
	}
	reserved, err := c.reserveAll(ctx, tx, c.wanted(rows, nil))
	if !isFull(err) || !slices.ContainsFunc(rows, mayExist) {
		return reserved, err
	}
	exist, existErr := c.existing(ctx, tx, rows)
	if existErr != nil {
		return nil, existErr
	}
	if !slices.Contains(exist, true) {
		return nil, err
	}
	return c.reserveAll(ctx, tx, c.wanted(rows, exist))
}

// mayExist reports whether an insert of a new row may find that it exists.
func mayExist(row *NewRow) bool { return !row.FreshID || row.UniqueKey != "" }

// existing returns which rows exist.
func (c *Client) existing(ctx context.Context, tx Tx, rows []*NewRow) (exist []bool, err error) {
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		exist, err = c.cfg.Store.(BacklogCounter).Existing(ctx, tx, rows...)
		return err
	})
	c.availability.observeRead(err)
	if err != nil {
		return nil, fmt.Errorf("enqueue: %w", err)
	}
	return exist, nil
}

// wanted counts the rows of each queue that has a bound, without those that exist.
func (c *Client) wanted(rows []*NewRow, exist []bool) map[route]int {
	wanted := make(map[route]int)
	for i, row := range rows {
		if c.MaxBacklog(row.Queue) > 0 && (exist == nil || !exist[i]) {
			wanted[route{row.Backend, row.Queue}]++
		}
	}
	return wanted
}

// reserveAll reserves room in all of these queues, or in none.
func (c *Client) reserveAll(ctx context.Context, tx Tx, wanted map[route]int) (room, error) {
	reserved := make(room, len(wanted))
	for r, n := range wanted {
		at, err := c.reserveRoom(ctx, tx, r, n)
		if err != nil {
			c.freeRoom(reserved, nil)
			return nil, err
		}
		reserved[r] = places{n, at}
	}
	return reserved, nil
}

// freeRoom gives back what was reserved for rows that were not stored: stored are the
// handles of an insert, none if it has failed.
func (c *Client) freeRoom(reserved room, stored []*Handle) {
	used := make(map[route]int)
	for _, h := range stored {
		if !h.Existed {
			used[route{h.Row.Backend, h.Row.Queue}]++
		}
	}
	for r, has := range reserved {
		unused := has.n - used[r]
		if unused <= 0 {
			continue
		}
		b := c.backlogs.of(r)
		b.mu.Lock()
		if b.at.Equal(has.at) {
			b.n -= unused
		}
		b.mu.Unlock()
	}
}

// reserveRoom adds n rows to a queue's backlog, or returns ErrBacklogFull. It also
// returns when the backlog was counted.
func (c *Client) reserveRoom(ctx context.Context, tx Tx, r route, n int) (time.Time, error) {
	limit, b := c.MaxBacklog(r.queue), c.backlogs.of(r)
	if n > limit {
		return time.Time{}, &neverFits{r.queue, n, limit}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.at.IsZero() || time.Since(b.at) >= backlogFreshness {
		err := within(ctx, statementTimeout, func(ctx context.Context) (err error) {
			b.n, err = c.cfg.Store.(BacklogCounter).CountReady(ctx, tx, r.backend, r.queue, limit+1)
			return err
		})
		c.availability.observeRead(err)
		if err != nil {
			return time.Time{}, fmt.Errorf("enqueue: %w", err)
		}
		b.at = time.Now()
	}
	if b.n+n > limit {
		return time.Time{}, fmt.Errorf("queue_name %q: %w: it has %d READY tasks, and may have %d; retry when some of them have been claimed", r.queue, ErrBacklogFull, b.n, limit)
	}
	b.n += n
	return b.at, nil
}
