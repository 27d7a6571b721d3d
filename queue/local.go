package queue

import (
	"context"
	"errors"
	"sync"
	"time"
)

// LocalPoll is how often an idle Local asks the database whether another
// process left it something to do. What this process enqueues or retries starts
// at once, or at its time.
const LocalPoll = 5 * time.Second

// Local is the Dispatcher that runs tasks in this process: it claims what is due
// in the store for its backend, highest priority first, whoever enqueued it and
// whenever, as many at once as the Executor allows. A Local serves one backend.
//
// Make one with NewLocal, give it to Config.Dispatcher, and call Run. What is dispatched before Run starts is not lost.
type Local struct {
	wake chan struct{} // has a value when due or alarm has changed

	mu    sync.Mutex
	due   bool      // something was dispatched that may be claimed now
	alarm time.Time // the earliest known time at which a row becomes due; zero: none
}

// NewLocal returns a Local that does nothing until Run is called.
func NewLocal() *Local { return &Local{wake: make(chan struct{}, 1)} }

// StartLocal makes a client whose tasks run in this process until ctx ends: the
// short way, for small programs and tests. cfg.Dispatcher is set by it. Programs
// that want to bound how many tasks run, or to drain them when they stop, use
// NewLocal, NewExecutor and Executor.Shutdown.
func StartLocal(ctx context.Context, cfg Config) (*Client, error) {
	local := NewLocal()
	cfg.Dispatcher = local
	client, err := NewClient(cfg)
	if err != nil {
		return nil, err
	}
	executor, err := NewExecutor(client, ExecutorConfig{})
	if err != nil {
		return nil, err
	}
	go local.Run(ctx, executor)
	return client, nil
}

// Dispatch wakes Run now, or when the tickets are due. It never fails.
func (l *Local) Dispatch(_ context.Context, tickets ...Ticket) error {
	for _, ticket := range tickets {
		l.wakeAt(ticket.DueAt)
	}
	return nil
}

// wakeAt makes Run look into the store at t, or at once if t is past.
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

// Run claims and runs what is due until ctx ends or the executor shuts down. It
// does not wait for the tasks that then run: Executor.Shutdown does.
func (l *Local) Run(ctx context.Context, e *Executor) {
	claimable := false
	var looked time.Time // when time's doing was last seen to
	for ctx.Err() == nil {
		var err error
		if l.ring() || time.Since(looked) >= LocalPoll {
			looked = time.Now()
			claimable, err = l.look(ctx, e)
		}
		if claimable || err != nil { // something may be claimable all the same
			claimable, err = l.claim(ctx, e)
		}
		switch {
		case errors.Is(err, ErrShutdown):
			return
		case errors.Is(err, ErrBusy):
			claimable = true
			select {
			case <-ctx.Done():
			case <-e.freed:
			}
		case err != nil:
			looked = time.Time{} // it was not
			claimable = l.wait(ctx, time.Second) || claimable
		case !claimable:
			claimable = l.wait(ctx, LocalPoll-time.Since(looked))
		}
	}
}

// ring reports whether the alarm's time has come, and resets it if so.
func (l *Local) ring() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.alarm.IsZero() || time.Now().Before(l.alarm) {
		return false
	}
	l.alarm = time.Time{}
	return true
}

// wait returns when something was dispatched, which it reports, when the alarm
// rings, or after pause.
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

// look promotes what is due, sets the alarm for what will be, and reports
// whether anything can be claimed.
func (l *Local) look(ctx context.Context, e *Executor) (bool, error) {
	p, err := e.look(ctx)
	if p.Next > 0 {
		l.wakeAt(time.Now().Add(p.Next))
	}
	return p.Claimable, err
}

// claim begins what is due and what there is room for, and reports whether there may be
// more.
func (l *Local) claim(ctx context.Context, e *Executor) (bool, error) {
	_, more, err := e.pull(ctx, From{Backend: e.client.backendOf(l)}, e.mostRoom(), func(run *Run) {
		if run == nil {
			l.wakeAt(time.Time{}) // somebody must run it
			return
		}
		if run.Outcome == OutcomeFailed && run.Row.Status == StatusReady {
			l.wakeAt(run.Row.RetryAt)
		}
	})
	return more, err
}
