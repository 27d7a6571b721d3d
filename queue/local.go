package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// LocalPoll is how often an idle [Local] polls the database for tasks that another
// process has enqueued. What this process enqueues or retries starts at once, or at
// its time.
const LocalPoll = 5 * time.Second

// Local is the [Dispatcher] that runs tasks in this process: it claims the due tasks
// of its backend in the store, highest priority first, from whichever process they
// were enqueued, as many at once as the [Executor] allows. A Local serves one
// backend. Its methods are safe for concurrent use.
//
// Make one with [NewLocal], set it as [Config].Dispatcher, and call [Local.Run]; or
// use [StartLocal]. What is dispatched before Run starts is not lost; if Run has not
// been called a second later, the client logs a warning.
type Local struct {
	wake chan struct{} // receives a value when due or alarm has changed

	mu    sync.Mutex
	due   bool      // something was dispatched that may be claimed now
	alarm time.Time // the earliest known time at which a row becomes due; zero: none

	log     *slog.Logger
	running bool          // Run is
	started bool          // Run was called
	checked bool          // expectRun has scheduled its check
	backOff time.Duration // only Run uses it; see next
}

// NewLocal returns a [Local] that does nothing until [Local.Run] is called.
func NewLocal() *Local { return &Local{wake: make(chan struct{}, 1)} }

// StartLocal makes a client whose tasks run in this process until ctx ends: the
// short way, for small programs and tests. It sets cfg.Dispatcher, which must be
// nil. The store's tables must exist ([ErrSchema]), and at least one task must have
// a function. Programs that limit how many tasks run, or drain them when they
// stop, use [NewLocal], [NewExecutor] and [Executor.Shutdown].
func StartLocal(ctx context.Context, cfg Config) (*Client, error) {
	if cfg.Dispatcher != nil {
		return nil, fmt.Errorf("queue: StartLocal sets Config.Dispatcher, which is set already (%T): leave it nil, or use NewClient", cfg.Dispatcher)
	}
	local := NewLocal()
	cfg.Dispatcher = local
	client, err := NewClient(cfg)
	if err != nil {
		return nil, err
	}
	if len(cfg.Registry.runnable) == 0 {
		return nil, errNothingRunnable
	}
	if err := checkMigrated(ctx, cfg.Store); err != nil {
		return nil, err
	}
	executor, err := NewExecutor(client, ExecutorConfig{})
	if err != nil {
		return nil, err
	}
	go local.Run(ctx, executor)
	return client, nil
}

// checkMigrated refuses a store without tables, or with old ones. Any other error
// of the database may pass, and Run retries.
func checkMigrated(ctx context.Context, store Store) error {
	checker, ok := store.(interface{ CheckSchema(context.Context) error })
	if !ok {
		return nil
	}
	err := within(ctx, statementTimeout, checker.CheckSchema)
	if errors.Is(err, ErrSchema) {
		return fmt.Errorf("queue: StartLocal: %w; call the store's Migrate before StartLocal", err)
	}
	return nil
}

func (l *Local) logTo(log *slog.Logger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.log == nil {
		l.log = log
	}
}

// runDeadline is how long after the first dispatch Run should have been called.
const runDeadline = time.Second

// expectRun logs a warning when something was dispatched and Run is not called.
func (l *Local) expectRun() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.started || l.checked || l.log == nil {
		return
	}
	l.checked = true
	time.AfterFunc(runDeadline, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.started {
			l.log.Warn("tasks wait for this process and nothing runs them: call Local.Run with an Executor, or use StartLocal")
		}
	})
}

// start marks the Local as running. It panics for a misuse that could never work.
func (l *Local) start(e *Executor) {
	if e == nil {
		panic("queue: Local.Run: the Executor is nil: check the error of NewExecutor")
	}
	if !e.client.dispatchesTo(l) {
		panic("queue: Local.Run: the Executor's Client does not dispatch to this Local: set it as Config.Dispatcher, or as the Dispatcher of a Backend")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running {
		panic("queue: Local.Run is running already: call it once for each Local, with one Executor")
	}
	l.running, l.started = true, true
}

func (l *Local) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = false
}

// Dispatch wakes Run now, or when the tickets are due. It never fails.
func (l *Local) Dispatch(_ context.Context, tickets ...Ticket) error {
	l.expectRun()
	for _, ticket := range tickets {
		l.wakeAt(ticket.DueAt)
	}
	return nil
}

// wakeAt makes Run promote at t, or claim at once if t is zero.
func (l *Local) wakeAt(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case t.IsZero():
		l.due = true
	case l.alarm.IsZero() || t.Before(l.alarm):
		l.alarm = t
	default:
		return
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run claims and runs due tasks until ctx ends or the executor shuts down. It does
// not wait for the tasks that then run: [Executor.Shutdown] does. It panics when it
// is running already, and when the Executor's Client does not have this Local as a
// Dispatcher. Tasks that are declared without a function are logged.
func (l *Local) Run(ctx context.Context, e *Executor) {
	l.start(e)
	defer l.stop()
	if names := e.client.registry.declaredOnly(e.client.backendOf(l)); len(names) > 0 {
		e.log.Warn("tasks without a function are stored and not run by this process: bind their functions with Handle, and register what it returns", "tasks", strings.Join(names, ", "))
	}
	defer e.client.tickBeside(ctx, func() { l.wakeAt(time.Time{}) })()
	claimable := false
	var busy *busyError
	var promoted time.Time // when due and expired rows were last made claimable
	for ctx.Err() == nil {
		var err error
		if l.alarmDue() || time.Since(promoted) >= LocalPoll {
			promoted = time.Now()
			claimable, err = l.promote(ctx, e)
		}
		if claimable || err != nil { // rows may be claimable although the promotion failed
			claimable, err = l.claim(ctx, e)
		}
		switch {
		case errors.Is(err, ErrShutdown):
			return
		case errors.As(err, &busy):
			claimable = true
			select {
			case <-ctx.Done():
			case <-e.freed:
			case <-time.After(busy.atMost(LocalPoll)):
			}
		case err != nil:
			promoted = time.Time{} // it may have failed
			claimable = l.wait(ctx, time.Second) || claimable
		case !claimable:
			claimable = l.wait(ctx, idlePause(LocalPoll)-time.Since(promoted))
		}
	}
}

// alarmDue reports whether the alarm's time has come, and resets it if so.
func (l *Local) alarmDue() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.alarm.IsZero() || time.Now().Before(l.alarm) {
		return false
	}
	l.alarm = time.Time{}
	return true
}

// wait returns when something was dispatched, which it reports, at the time of the
// alarm, or after pause.
func (l *Local) wait(ctx context.Context, pause time.Duration) bool {
	for {
		l.mu.Lock()
		due, alarm := l.due, l.alarm
		l.due = false
		l.mu.Unlock()
		if due {
			return true
		}
		until := pause
		if !alarm.IsZero() {
			until = min(pause, time.Until(alarm))
		}
		started := time.Now()
		timer := time.NewTimer(until)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
			return false
		case <-l.wake:
			timer.Stop()
			pause -= time.Since(started)
		}
	}
}

// promote makes due and expired rows claimable, sets the alarm for the next one, and
// reports whether anything can be claimed.
func (l *Local) promote(ctx context.Context, e *Executor) (bool, error) {
	p, err := e.promote(ctx)
	if p.Next > 0 {
		l.wakeAt(time.Now().Add(l.next(p)))
	}
	return p.Claimable, err
}

// longestBackOff is the longest pause for a row that stays locked: less than
// LocalPoll, since other rows may become due meanwhile.
const longestBackOff = time.Second

// next is how long after a promotion the next one is. A row that is due but was not
// promoted is locked by another transaction: the pause doubles each time.
func (l *Local) next(p PromoteResult) time.Duration {
	const due = time.Millisecond
	if p.Next > due || p.Released+p.Reclaimed+p.Failed > 0 {
		l.backOff = 0
		return p.Next
	}
	l.backOff = min(max(2*l.backOff, 10*time.Millisecond), longestBackOff)
	return l.backOff
}

// claim starts due tasks, as many as can be reserved, and reports whether there may
// be more.
func (l *Local) claim(ctx context.Context, e *Executor) (bool, error) {
	_, more, err := e.pull(ctx, From{Backend: e.client.backendOf(l)}, e.maxClaims(), func(run *Run) {
		if run == nil {
			l.wakeAt(time.Time{}) // it was released, and is due
			return
		}
		if run.Outcome == OutcomeFailed && run.Row.Status == StatusReady {
			l.wakeAt(run.Row.RetryAt)
		}
	})
	return more, err
}
