package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// ExecutorConfig says how a process runs tasks.
type ExecutorConfig struct {
	// Lease is how long a claim holds without a heartbeat; heartbeats are sent at
	// each third of it. 0 means 60 s; less than a second is refused.
	Lease time.Duration
	// Timeout bounds attempts of tasks that set no limit of their own; 0: none.
	Timeout time.Duration
	// Concurrency is how many functions run at once; 0 means 16. From ten on, a
	// worker whose functions return within milliseconds prefetches: it claims up
	// to eight times as many tasks ahead, for up to 40 ms of work and with up to
	// [MaxClaimBytes] of arguments, and releases those that have waited for a
	// quarter of a second, which does not count as an attempt.
	Concurrency int
	// WorkerID names this process in [Row].WorkerIDs; empty means host name,
	// process ID and a random part. It is cut to 200 bytes.
	WorkerID string
}

// Defaults of [ExecutorConfig].
const (
	DefaultLease       = 60 * time.Second
	DefaultConcurrency = 16
)

// Executor turns the ID of a row into a run: it claims the row, calls the task's
// function, and finishes the row under the same claim. All ways to run a task
// lead here: a delivery ([Executor.RunByID]), a worker ([Executor.Work]), a
// single pull ([Executor.ProcessOne]) and [Local]. Make one with [NewExecutor].
// It is safe for concurrent use.
type Executor struct {
	cfg         ExecutorConfig
	client      *Client
	store       Store
	async       AsyncFinisher // the store, if it is one
	reporter    Reporter      // the store, if it is one
	log         *slog.Logger
	heartbeater heartbeater
	goroutines  goroutines
	reports     reports

	mu              sync.Mutex
	active          map[Claim]*activeRun
	reserved        int           // tasks that are claimed, or that a claim under way may claim
	running         int           // of these, tasks whose functions run: those that have a slot
	settling        int           // of these, tasks whose functions have returned
	buffer          []claimedTask // of these, tasks that wait for a slot
	buffered        int           // bytes of their arguments
	idleSince       time.Time     // when a slot had no task; zero while all have one
	wakeAt          int           // freed receives a value when reserved has decreased to this, or a slot is free
	typicalDuration time.Duration // of recent functions; unknownDuration until one has returned
	freed           chan struct{}
	closing         bool            // Shutdown has begun
	interrupted     bool            // Shutdown has cancelled the functions
	stopping        chan struct{}   // closed when closing is set
	interrupt       chan struct{}   // closed when interrupted is set
	undoing         context.Context // of the statements that undo lost claims
	stopUndoing     context.CancelFunc

	// fitting is how many rows to claim at most, after a claim whose arguments reached
	// MaxClaimBytes: a store may have to read those of all rows. 0: no bound.
	fitting        int
	prefetchPaused bool         // nothing is claimed ahead until a function returns
	bounced        []uuid.UUID  // tasks released from the buffer, the latest last
	lostClaims     []*lostClaim // claims whose answers were lost, to be undone
	unsettled      bool         // the last attempt to undo one failed

	gating atomic.Bool // rows of paused and resumed queues are being changed

	limits  atomic.Bool     // limits are set, or rows wait for one, as the latest promotion saw it
	turn    atomic.Uint64   // counts claims, in which rows with and without limits come first in turn
	sharing atomic.Bool     // rows with limits share the slots with others
	startAt time.Time       // when wakeIn wakes workers; e.mu is held
	pullers []chan struct{} // of workers; e.mu is held, and the slice is never changed
}

// NewExecutor checks the configuration and fills in its defaults. It starts
// nothing. It returns an error for a client that is not ready ([ErrNotReady]) and
// for values out of bounds.
func NewExecutor(c *Client, cfg ExecutorConfig) (*Executor, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if cfg.Lease == 0 {
		cfg.Lease = DefaultLease
	}
	if cfg.Lease < time.Second {
		return nil, fmt.Errorf("queue: ExecutorConfig.Lease must be at least 1s, not %s", cfg.Lease)
	}
	if cfg.Concurrency == 0 {
		cfg.Concurrency = DefaultConcurrency
	}
	if cfg.Concurrency < 0 || cfg.Timeout < 0 {
		return nil, errors.New("queue: ExecutorConfig.Concurrency and Timeout must not be negative")
	}
	if cfg.WorkerID == "" {
		host, _ := os.Hostname()
		cfg.WorkerID = fmt.Sprintf("%s-%d-%s", host, os.Getpid(), uuid.NewString()[:8])
	}
	cfg.WorkerID = cleanText(cfg.WorkerID, 200)
	undoing, stopUndoing := context.WithCancel(context.Background())
	e := &Executor{
		cfg: cfg, client: c, store: c.cfg.Store, log: c.cfg.Logger,
		active: make(map[Claim]*activeRun), typicalDuration: unknownDuration, idleSince: time.Now(), freed: make(chan struct{}, 1),
		stopping: make(chan struct{}), interrupt: make(chan struct{}), undoing: undoing, stopUndoing: stopUndoing,
	}
	e.async, _ = e.store.(AsyncFinisher)
	e.reporter, _ = e.store.(Reporter)
	e.heartbeater = heartbeater{store: e.store, reporter: e.reporter, lease: cfg.Lease, log: e.log, availability: &c.availability, leases: make(map[Claim]*lease)}
	return e, nil
}

// RunOptions change how [Executor.RunByID] claims.
type RunOptions struct {
	// AllowRetry also runs a FAILED task again, on an operator's request.
	AllowRetry bool
	// DueAt is for when the delivery was scheduled, as its deliverer reports it: the
	// [Ticket].DueAt, or the time of its creation if that was zero or past, or that of a
	// retry. Zero: not known. With it, a delivery for a time that the row no longer has
	// makes no new ticket.
	DueAt time.Time
	// Ticket is the name of the delivery's ticket, as its deliverer reports it: [Ticket].Name,
	// or one that the deliverer has given it. Empty: not known. With it, duplicate tickets of
	// a task that waits for a rate become one.
	Ticket string
}

// RunByID is where a delivered ID becomes a run. It returns the [Run] when the
// row was claimed, however the run ended. Otherwise it returns [ErrNotFound], a
// [*NotClaimedError], [ErrBusy], [ErrShutdown], [ErrNotArmed] (a task that is not
// due could not be dispatched again) or an error of [Store].
//
// The run continues when ctx ends: what has to be kept is the claim, not the
// connection. It ends early only by the task's timeout, a lost claim or
// [Executor.Shutdown].
func (e *Executor) RunByID(ctx context.Context, id uuid.UUID, opt RunOptions) (*Run, error) {
	if err := e.reserve(); err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx)
	row, sent, err := e.claim(ctx, id, opt)
	e.client.availability.observe(err)
	if err != nil {
		defer e.unreserveSlot()
		return nil, e.handleRefusal(ctx, err, opt)
	}
	return e.runNow(ctx, row, sent), nil
}

// runNow runs a claimed row that has a slot, and returns when its run has ended.
func (e *Executor) runNow(ctx context.Context, row *Row, claimedAt time.Time) *Run {
	ended := make(chan *Run, 1)
	t := claimedTask{ctx: ctx, row: row, claimedAt: claimedAt, done: func(run *Run) { ended <- run }}
	e.goroutines.run(func() { e.runTasks(t) })
	return <-ended
}
