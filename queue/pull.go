package queue

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"
)

// From says which tasks a pull claims.
type From struct {
	Queues  []string // empty: of all queues
	Backend string   // empty: of all backends
}

// promoteLimit is how many rows of a kind one promotion makes claimable.
const promoteLimit = 1000

// promote makes due and expired rows claimable, and reports what there is to do.
func (e *Executor) promote(ctx context.Context) (PromoteResult, error) {
	var p PromoteResult
	err := within(context.WithoutCancel(ctx), statementTimeout, func(ctx context.Context) (err error) {
		p, err = e.store.Promote(ctx, promoteLimit)
		return err
	})
	e.client.availability.observeRead(err) // with nothing to do it only reads
	if err == nil {
		e.client.lastPromote.record(p)
	}
	e.client.promoted(ctx, p)
	if p.Reclaimed > 0 || p.Failed > 0 {
		e.log.Warn("leases expired without a result; the workers may be gone", "ready_again", p.Reclaimed, "failed", p.Failed)
	}
	return p, err
}

// pull claims up to limit tasks, as many as can be reserved, and starts them. done
// is called with each run when it has ended, before its reservation is given up,
// and with nil for a task that was released because it waited too long for a slot.
// pull returns how many were claimed, and whether there may be more.
func (e *Executor) pull(ctx context.Context, from From, limit int, done func(*Run)) (claimed int, more bool, err error) {
	r, err := e.reserveBatch(limit)
	if err != nil {
		return 0, false, err
	}
	ctx = context.WithoutCancel(ctx)
	claimedAt := time.Now()
	rows, err := e.claimNext(ctx, from, r)
	more = e.releaseUnused(r, len(rows))
	e.start(ctx, rows, claimedAt, done)
	return len(rows), more, err
}

// ProcessOne claims the next due task, highest priority first, and runs it. It
// returns nil when none is due. Errors: [ErrInvalid] for a backend that the client
// does not have, [ErrBusy], [ErrShutdown], and those of [Store]. Like RunByID, the
// run continues when ctx ends.
func (e *Executor) ProcessOne(ctx context.Context, from From) (*Run, error) {
	if err := e.checkPull(from); err != nil {
		return nil, err
	}
	_, promoteErr := e.promote(ctx) // other rows can be claimed all the same
	if err := e.reserve(); err != nil {
		return nil, err
	}
	defer e.unreserve(1)
	ctx = context.WithoutCancel(ctx)
	since := time.Now()
	rows, err := e.claimNext(ctx, from, reservation{limit: 1})
	if err != nil || len(rows) == 0 {
		e.freeSlot(nil, unknownDuration)
		return nil, cmp.Or(err, promoteErr)
	}
	return e.run(ctx, rows[0], since), nil
}

// Process runs up to limit tasks that are due, one after the other in the order of
// their claims, and returns their runs. It starts no further one once ctx has ended
// or the process is stopping. Errors are those of [Executor.ProcessOne], returned
// with the runs before them.
func (e *Executor) Process(ctx context.Context, limit int, from From) ([]*Run, error) {
	runs := []*Run{}
	for len(runs) < limit && ctx.Err() == nil {
		run, err := e.ProcessOne(ctx, from)
		if errors.Is(err, ErrShutdown) && len(runs) > 0 {
			return runs, nil
		}
		if err != nil {
			return runs, err
		}
		if run == nil {
			break
		}
		runs = append(runs, run)
	}
	return runs, nil
}

// WorkConfig says what a worker pulls, and when it ends. Its zero value runs
// everything that is due.
type WorkConfig struct {
	From
	// MaxTasks ends the worker after so many runs; 0 means no limit.
	MaxTasks int
	// Continuous keeps the worker polling when nothing is due, every Interval (0
	// means 5 s) and up to a tenth more, so that many workers do not poll together.
	// A Store that is a [Waker] wakes it earlier.
	Continuous bool
	Interval   time.Duration
	// OnRun is called after each run, by the goroutine that called Work; may be nil.
	OnRun func(*Run)
}

// WorkResult counts what a worker has run.
type WorkResult struct {
	Runs   int
	Failed int // runs that ended FAILED
}

// worker is the state of one call of Work.
type worker struct {
	e       *Executor
	cfg     WorkConfig
	ended   chan *Run
	woken   chan struct{} // receives a value when another process has enqueued something
	started int           // tasks that were claimed and not released
	result  WorkResult
}

// Work pulls tasks from the database and runs them, as many at once as the executor
// allows, until nothing is due (unless Continuous), MaxTasks have been started, ctx
// ends, or the executor shuts down; then it waits for those still running, which
// only [Executor.Shutdown] cuts short. While the database is unavailable a
// continuous worker keeps polling; any other returns the error. A backend that the
// client does not have, and negative bounds, are [ErrInvalid]; a registry without
// functions is an error. Several calls may run at once; they share the slots.
func (e *Executor) Work(ctx context.Context, cfg WorkConfig) (WorkResult, error) {
	if err := e.checkWork(cfg); err != nil {
		return WorkResult{}, err
	}
	if cfg.Interval == 0 {
		cfg.Interval = LocalPoll
	}
	w := &worker{e: e, cfg: cfg, ended: make(chan *Run, e.maxClaims()), woken: make(chan struct{}, 1)}
	listening, stop := context.WithCancel(ctx)
	var listener sync.WaitGroup
	if cfg.Continuous {
		listener.Go(func() { e.listen(listening, w.woken, cfg.Interval) })
	}
	err := w.loop(ctx)
	stop()
	listener.Wait()
	for w.result.Runs < w.started {
		w.count(<-w.ended)
	}
	if errors.Is(err, ErrShutdown) {
		err = nil
	}
	return w.result, err
}

func (w *worker) loop(ctx context.Context) error {
	var promoted time.Time // when due and expired rows were last made claimable
	for ctx.Err() == nil && w.left() > 0 {
		w.countEnded()
		promote := time.Since(promoted) >= w.cfg.Interval
		more, err := w.fill(ctx, promote)
		if promote {
			promoted = time.Now()
		}
		switch {
		case errors.Is(err, ErrBusy):
			w.wait(ctx, w.e.freed, nil)
		case errors.Is(err, ErrUnavailable) && w.cfg.Continuous:
			promoted = time.Time{}
			w.pause(ctx, nil)
		case err != nil:
			return err
		case more:
		case w.result.Runs < w.started:
			w.wait(ctx, nil, w.woken) // there are free slots
		case !promote:
			promoted = time.Time{} // promote once more before nothing is due
		case !w.cfg.Continuous:
			return nil
		default:
			if woken := w.pause(ctx, w.woken); !woken {
				promoted = time.Time{}
			}
		}
	}
	return nil
}

// left is how many tasks may still be started.
func (w *worker) left() int {
	if w.cfg.MaxTasks == 0 {
		return w.e.maxClaims()
	}
	return w.cfg.MaxTasks - w.started
}

// fill starts due tasks in the free slots, after promoting if asked, and reports
// whether there may be more. A promotion that fails does not keep it from what can
// be claimed.
func (w *worker) fill(ctx context.Context, promote bool) (more bool, err error) {
	var promoteErr error
	if promote {
		var p PromoteResult
		if p, promoteErr = w.e.promote(ctx); promoteErr == nil && !p.Claimable {
			return false, nil
		}
	}
	var noAnswer *noAnswerError
	if !w.cfg.Continuous && errors.As(promoteErr, &noAnswer) { // one time-out is enough to end
		return false, promoteErr
	}
	claimed, more, err := w.e.pull(ctx, w.cfg.From, w.left(), func(run *Run) { w.ended <- run })
	w.started += claimed
	if err == nil && claimed == 0 {
		err = promoteErr
	}
	return more, err
}

// wait returns when a run has ended, when a slot was freed, when another process
// has enqueued something, or after the interval, since there may be no signal.
func (w *worker) wait(ctx context.Context, freed, woken <-chan struct{}) {
	select {
	case <-woken:
	case run := <-w.ended:
		w.count(run)
	case <-freed:
	case <-time.After(w.cfg.Interval):
	case <-ctx.Done():
	}
}

// countEnded counts the runs that have ended by now.
func (w *worker) countEnded() {
	for {
		select {
		case run := <-w.ended:
			w.count(run)
		default:
			return
		}
	}
}

func (w *worker) count(run *Run) {
	if run == nil { // released: it waited too long for a slot
		w.started--
		return
	}
	w.result.Runs++
	if run.Row.Status == StatusFailed && run.Outcome == OutcomeFailed {
		w.result.Failed++
	}
	if w.cfg.OnRun != nil {
		w.cfg.OnRun(run)
	}
}

// pause waits for the interval, and reports whether it was woken before.
func (w *worker) pause(ctx context.Context, woken <-chan struct{}) bool {
	select {
	case <-ctx.Done():
	case <-w.e.stopping:
	case <-woken:
		return true
	case <-time.After(idlePause(w.cfg.Interval)):
	}
	return false
}
