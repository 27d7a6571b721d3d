package queue

import (
	"context"
	"errors"
	"sync"
	"time"
)

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
	e     *Executor
	cfg   WorkConfig
	woken chan struct{} // receives a value when another process has enqueued something
	ended chan struct{} // receives a value when Work has to look at the runs that have ended

	groups int // tasks that promotions have enqueued at the ends of groups, as Work last saw

	mu      sync.Mutex
	started int    // tasks that were claimed and not released
	runs    []*Run // those for which OnRun is to be called
	ends    int    // tasks that have ended or were released
	seen    int    // ends when Work last looked
	waiting bool   // Work waits for a run to end
	result  WorkResult
}

// Work pulls tasks from the database and runs them, as many at once as the executor
// allows, until nothing is due (unless Continuous), MaxTasks have been started, ctx
// ends, or the executor shuts down; then it waits for those still running, which
// only [Executor.Shutdown] cuts short. While the database is unavailable, or
// refuses claims of this program ([ErrOutdated]), a continuous worker keeps polling; any
// other returns the error. A backend that the
// client does not have, and negative bounds, are [ErrInvalid]; a registry without
// functions is an error. Several calls may run at once; they share the slots.
func (e *Executor) Work(ctx context.Context, cfg WorkConfig) (WorkResult, error) {
	if err := e.checkWork(cfg); err != nil {
		return WorkResult{}, err
	}
	if cfg.Interval == 0 {
		cfg.Interval = LocalPoll
	}
	w := &worker{e: e, cfg: cfg, ended: make(chan struct{}, 1), woken: make(chan struct{}, 1)}
	listening, stop := context.WithCancel(ctx)
	var listener sync.WaitGroup
	if cfg.Continuous {
		listener.Go(func() { e.listen(listening, w.woken, cfg.Interval) })
		defer e.client.tickBeside(ctx, w.wake)()
	}
	w.groups, _ = e.client.groups.due()
	remove := e.addPuller(w.woken)
	defer remove()
	err := w.loop(ctx)
	e.unreserve(0) // it may have received the value for which another worker waits
	stop()
	listener.Wait()
	for w.report() > 0 {
		<-w.ended
	}
	if errors.Is(err, ErrShutdown) {
		err = nil
	}
	return w.result, err
}

func (w *worker) loop(ctx context.Context) error {
	var busy *busyError
	var promoted time.Time // when due and expired rows were last made claimable
	for ctx.Err() == nil {
		w.report()
		if w.left() == 0 {
			if w.running() == 0 {
				return nil
			}
			w.waitForTasks(ctx) // one that is released instead makes room for another
			continue
		}
		promote := time.Since(promoted) >= w.cfg.Interval
		more, err := w.fill(ctx, promote)
		if promote {
			promoted = time.Now()
		}
		switch {
		case errors.As(err, &busy):
			w.waitForSlots(ctx, busy)
		case (errors.Is(err, ErrUnavailable) || errors.Is(err, ErrOutdated)) && w.cfg.Continuous:
			promoted = time.Time{}
			w.pause(ctx, nil)
		case err != nil:
			return err
		case more:
		case w.running() > 0:
			w.waitForTasks(ctx)
		case !promote:
			promoted = time.Time{} // promote once more before nothing is due
		case !w.cfg.Continuous && w.e.groupWork(ctx, &w.groups):
			promoted = time.Time{} // what the ends of groups have enqueued is due
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
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cfg.MaxTasks - w.started
}

// fill starts due tasks in the free slots, after promoting if asked, and reports
// whether there may be more. A promotion that fails does not keep it from what can
// be claimed.
func (w *worker) fill(ctx context.Context, promote bool) (more bool, err error) {
	var promoteErr error
	if promote {
		var p PromoteResult
		if p, promoteErr = w.e.promote(ctx); promoteErr == nil {
			if w.enqueueDue(ctx, p) == 0 && !p.Claimable {
				return false, nil
			}
		}
	}
	var noAnswer *noAnswerError
	if !w.cfg.Continuous && errors.As(promoteErr, &noAnswer) { // one time-out is enough to end
		return false, promoteErr
	}
	claimed, more, err := w.e.pull(ctx, w.cfg.From, w.left(), w.end)
	w.claimed(claimed)
	if err == nil && claimed == 0 {
		err = promoteErr
	}
	return more, err
}

// enqueueDue enqueues the occurrences of schedules that are due, for a worker that ends:
// one that is continuous has a ticker.
func (w *worker) enqueueDue(ctx context.Context, p PromoteResult) int {
	if w.cfg.Continuous || p.NextTick == 0 || p.NextTick > time.Millisecond {
		return 0
	}
	ticked, err := w.e.client.Tick(ctx, 0)
	if err != nil && !errors.Is(err, ErrUnavailable) {
		w.e.log.Error("tick failed", "error", err)
	}
	return ticked.Enqueued
}

// wake makes an idle worker claim.
func (w *worker) wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// waitForSlots returns when it is worth while to claim again.
func (w *worker) waitForSlots(ctx context.Context, busy *busyError) {
	select {
	case <-w.ended: // OnRun is to be called
	case <-w.e.freed:
	case <-time.After(busy.atMost(w.cfg.Interval)):
	case <-ctx.Done():
	}
}

// waitForTasks returns when a run has ended, which may have enqueued something, when
// another process has, or after the interval, since there may be no signal. There
// are free slots meanwhile.
func (w *worker) waitForTasks(ctx context.Context) {
	w.mu.Lock()
	w.waiting = w.ends == w.seen
	waiting := w.waiting
	w.mu.Unlock()
	if !waiting {
		return
	}
	select {
	case <-w.woken:
	case <-w.ended:
	case <-time.After(w.cfg.Interval):
	case <-ctx.Done():
	}
}

// end counts a run that has ended. nil is a task that waited too long for a slot and
// was released.
func (w *worker) end(run *Run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends++
	if run == nil {
		w.started--
	} else {
		w.result.Runs++
		if run.Row.Status == StatusFailed && run.Outcome == OutcomeFailed {
			w.result.Failed++
		}
	}
	if w.cfg.OnRun != nil && run != nil {
		w.runs = append(w.runs, run)
	}
	if w.waiting || len(w.runs) > 0 || w.result.Runs >= w.started {
		w.waiting = false
		select {
		case w.ended <- struct{}{}:
		default:
		}
	}
}

// report calls OnRun for the runs that have ended, and returns how many have not.
func (w *worker) report() int {
	w.mu.Lock()
	runs := w.runs
	w.runs, w.seen, w.waiting = nil, w.ends, false
	w.mu.Unlock()
	for _, run := range runs {
		w.cfg.OnRun(run)
	}
	return w.running()
}

// running is how many tasks were started and have not ended.
func (w *worker) running() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.started - w.result.Runs
}

// claimed counts tasks that were started.
func (w *worker) claimed(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.started += n
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
