package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
)

// ExecutorConfig says how a process runs tasks.
type ExecutorConfig struct {
	// Lease is how long a claim holds without a heartbeat; heartbeats come at a
	// third of it. 0 means 60 s; less than a second is refused.
	Lease time.Duration
	// Timeout bounds attempts of tasks that set no limit of their own; 0: none.
	Timeout time.Duration
	// Concurrency is how many functions run at once; 0 means 16. From ten on, a
	// worker that sees them return within milliseconds claims up to twice
	// as many tasks ahead, and gives back those that have waited for a quarter of a
	// second, which counts as nothing.
	Concurrency int
	// WorkerID names this process in Row.WorkerIDs; empty means host, process
	// ID and a random part.
	WorkerID string
}

// Defaults of ExecutorConfig.
const (
	DefaultLease       = 60 * time.Second
	DefaultConcurrency = 16
)

// earlyTolerance is how far ahead of its time a delivery still runs a task:
// the clocks of the deliverer and the database differ.
const earlyTolerance = 2 * time.Second

// Executor turns the ID of a row into a run: it claims the row, calls the task's
// function, and finishes the row under the same claim. All ways to run a task
// end here. It is safe for concurrent use.
type Executor struct {
	cfg    ExecutorConfig
	client *Client
	store  Store
	log    *slog.Logger
	heart  heart

	mu       sync.Mutex
	running  map[Claim]*running
	taken    int           // tasks that are claimed, or that a claim under way may find
	calling  int           // of these, tasks whose functions run: those that have a slot
	settling int           // of these, tasks whose end is being stored
	buffer   []waiting     // of these, tasks that wait for a slot
	usual    time.Duration // that functions have taken lately; unknownTime: none has returned
	freed    chan struct{} // gets a value when taken has gone down
	closing  bool
	hurried  bool          // Shutdown has told the functions to stop
	stopping chan struct{} // closed when Shutdown begins
	hurry    chan struct{} // closed when hurried

	aheadSpent bool         // nothing more is claimed ahead until a function returns
	bounced    []uuid.UUID  // tasks that waited here in vain, the latest last
	lostClaims []*lostClaim // claims whose answers were lost, and that are looked for
}

// NewExecutor checks the configuration and fills in its defaults.
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
	e := &Executor{
		cfg: cfg, client: c, store: c.cfg.Store, log: c.cfg.Logger,
		running: make(map[Claim]*running), usual: unknownTime, freed: make(chan struct{}, 1),
		stopping: make(chan struct{}), hurry: make(chan struct{}),
	}
	e.heart = heart{store: e.store, lease: cfg.Lease, log: e.log, outage: &c.outage, claims: make(map[Claim]*pulse)}
	return e, nil
}

// RunOptions change how RunByID claims.
type RunOptions struct {
	// AllowRetry also runs a FAILED task again: an operator's wish.
	AllowRetry bool
}

// RunByID is where a delivered ID becomes a run. It returns the Run when the
// row was claimed, however the run ended. Otherwise it returns ErrNotFound, a
// *NotClaimedError, ErrBusy, ErrShutdown, ErrNotArmed (a task that is not due
// could not be dispatched again) or an error of Store.
//
// The run goes on when ctx ends: it is the claim that must be kept, not the
// connection. It ends early only by the task's timeout, a lost claim or
// Shutdown.
func (e *Executor) RunByID(ctx context.Context, id uuid.UUID, opt RunOptions) (*Run, error) {
	if err := e.reserve(); err != nil {
		return nil, err
	}
	defer e.unreserve(1)
	ctx = context.WithoutCancel(ctx)
	sent := time.Now()
	row, err := e.claim(ctx, id, opt)
	e.client.outage.observe(err)
	if err != nil {
		e.returned(nil, unknownTime)
		return nil, e.notClaimed(ctx, err)
	}
	return e.run(ctx, row, sent), nil
}

// claimBudget is how long a claim whose answer was lost is repeated, at most half a
// lease: it must hold until then if it was made.
const claimBudget = 3 * time.Second

// statementTimeout bounds one call of the store where no caller's deadline does.
const statementTimeout = 10 * time.Second

func (e *Executor) claim(ctx context.Context, id uuid.UUID, opt RunOptions) (*Row, error) {
	claimID, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	req := ClaimRequest{
		Tasks: e.client.registry.runnable, Worker: e.cfg.WorkerID, Lease: e.cfg.Lease,
		ClaimID: claimID, Early: earlyTolerance, AllowRetry: opt.AllowRetry,
	}
	giveUp := time.Now().Add(min(claimBudget, e.cfg.Lease/2))
	lost := false
	for pause := 20 * time.Millisecond; ; pause *= 2 {
		sent := time.Now()
		var row *Row
		err := within(ctx, statementTimeout, func(ctx context.Context) (err error) {
			row, err = e.store.Claim(ctx, id, req)
			return err
		})
		if lost = lost || effectUnknown(err); err == nil || !lost {
			return row, err
		}
		if errors.Is(err, ErrUnavailable) && time.Until(giveUp) > pause {
			time.Sleep(pause)
			if time.Now().Before(giveUp) {
				continue // the store recognises the claim by its ID
			}
		}
		e.recoverLater(lostClaim{claim: Claim{ID: id, ClaimID: claimID}, sent: sent})
		return nil, err
	}
}

// notClaimed does what a refused claim asks for.
func (e *Executor) notClaimed(ctx context.Context, err error) error {
	var refused *NotClaimedError
	if !errors.As(err, &refused) {
		return err
	}
	row := refused.Row
	switch refused.Reason {
	case ErrNotDue:
		// The ticket that came early is used up; the row needs another. Where the
		// database's clock is far behind, a ticket for the row's time would come
		// as early again.
		later := *row
		if at := time.Now().Add(refused.Wait); at.Sub(row.RunAfter) > earlyTolerance {
			later.RunAfter = at
		}
		if armErr := e.arm(ctx, &later); armErr != nil {
			return fmt.Errorf("%w: %w", ErrNotArmed, armErr)
		}
	case ErrUnknownTask:
		e.log.Warn("task name is not registered in this version; its row waits",
			"task_id", row.ID, "task_path", row.Task, "queue_name", row.Queue)
	case ErrWorkerLost:
		e.log.Error("task failed: its lease expired on its last attempt", "error", refused.Error(),
			"task_id", row.ID, "task_path", row.Task, "attempt", row.Attempts, "max_attempts", row.MaxAttempts)
	}
	return err
}

// arm dispatches a row for its time, unless that is so far off that the sweeper
// will do it.
func (e *Executor) arm(ctx context.Context, row *Row) error {
	if row.parked(time.Now()) {
		return nil
	}
	return e.client.dispatch(ctx, row)
}

// run calls the function of a claimed row and settles the row. The lease began
// no earlier than since.
func (e *Executor) run(ctx context.Context, row *Row, since time.Time) *Run {
	if hook := e.client.cfg.Hooks.Running; hook != nil {
		ctx = hook(ctx, row)
	}
	run := e.call(ctx, row, since)
	if hook := e.client.cfg.Hooks.Finished; hook != nil {
		hook(ctx, run)
	}
	return run
}

// call is run between its hooks.
func (e *Executor) call(ctx context.Context, row *Row, since time.Time) *Run {
	// The claim names only what is registered, so the lookup cannot miss.
	d, _ := e.client.registry.lookup(row.Task)
	timeout := e.timeout(row)
	r := &running{executor: e, claim: row.Claim(), errors: row.Errors, abandon: make(chan struct{})}
	taskCtx, cancel := context.WithCancelCause(withTask(ctx, r, row))
	defer cancel(nil)
	r.cancel = cancel
	if timeout > 0 {
		var stop context.CancelFunc
		taskCtx, stop = context.WithTimeoutCause(taskCtx, timeout, &TimeoutError{Timeout: timeout})
		defer stop()
	}
	e.enter(r)
	defer e.leave(r)
	e.heart.add(r.claim, since, cancel)
	defer e.heart.remove(r.claim)

	if hook := e.client.cfg.Hooks.Started; hook != nil {
		hook(ctx, row)
	}
	started := time.Now()
	res, returned := e.await(taskCtx, ctx, r, row, invoke(taskCtx, d, row), timeout)
	e.returned(r, time.Since(started))
	if !returned {
		return e.abandoned(ctx, row, time.Since(started), context.Cause(taskCtx))
	}
	run := e.settled(ctx, r, row, res, context.Cause(taskCtx))
	run.Duration = time.Since(started)
	e.logRun(ctx, run)
	return run
}

// noteAfter is how long after its time limit a function may return without its
// timeout having been noted under the claim.
const noteAfter = 100 * time.Millisecond

// await returns the result of a function, or false for one that does not heed its
// context: long after its time limit, or when Shutdown no longer waits for it.
func (e *Executor) await(taskCtx, ctx context.Context, r *running, row *Row, done <-chan result, timeout time.Duration) (result, bool) {
	var late, overdue <-chan time.Time
	if timeout > 0 {
		late, overdue = time.After(timeout+noteAfter), time.After(timeout+e.cfg.Lease)
	}
	for {
		select {
		case res := <-done:
			return res, true
		case <-late:
			var cause *TimeoutError
			if errors.As(context.Cause(taskCtx), &cause) {
				e.noteTimeout(ctx, r, row, timeout)
			}
		case <-overdue:
			return result{}, false
		case <-r.abandon:
			return result{}, false
		}
	}
}

// noteTimeout stores that the attempt has timed out, while its function goes on:
// should that never return, the row says what happened once its lease expires. It
// does not wait for the database. What ends the claim writes its own history.
func (e *Executor) noteTimeout(ctx context.Context, r *running, row *Row, timeout time.Duration) {
	r.noted.Store(true)
	history := row.WithError(notReturned(timeout).record(row, time.Now()))
	go func() {
		err := e.persist(ctx, func(ctx context.Context) error { return e.store.NoteErrors(ctx, r.claim, history) })
		if err != nil && !errors.Is(err, ErrLeaseLost) {
			e.log.WarnContext(ctx, "could not store that a task has timed out, while its function goes on",
				"task_id", row.ID, "task_path", row.Task, "attempt", row.Attempts, "error", err)
		}
	}()
}

// abandoned is the run of a function that does not heed its context. Its claim
// is no longer renewed, so it runs out, and its finish will not be written.
func (e *Executor) abandoned(ctx context.Context, row *Row, after time.Duration, cause error) *Run {
	e.log.ErrorContext(ctx, "task does not return though its context has ended; its claim is left to run out",
		"task_id", row.ID, "task_path", row.Task, "attempt", row.Attempts, "cause", cause)
	return &Run{Row: row, Outcome: OutcomeAbandoned, Err: cause, Duration: after}
}

func (e *Executor) timeout(row *Row) time.Duration {
	if d := e.client.timeout(row); d > 0 {
		return d
	}
	return e.cfg.Timeout
}
