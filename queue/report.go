package queue

import (
	"sync"
	"time"
)

// crowd is how many outcomes are being stored when that of a delivery goes the way
// of pulled tasks: a wake-up less, which one alone would spend on the way.
const crowd = 4

// finishAsync has the store end the claim of a task that has succeeded, without a
// goroutine that waits for it, and reports whether it does. All else, which is rare
// in comparison, takes the other way: settle.
func (e *Executor) finishAsync(r *activeRun, res result) bool {
	if e.async == nil || !r.pulled && !r.crowd || res.failure != nil || r.completed.Load() || checkResult(res.value, e.client.cfg.MaxBytes) != nil {
		return false
	}
	f := Finish{Status: StatusSuccessful, ReturnValue: res.value, Errors: r.restoredErrors()}
	e.async.FinishAsync(r.claim, f, func(at time.Time, err error) {
		if err != nil { // finish repeats it, and acts on the error
			e.goroutines.run(func() { e.conclude(r, e.finish(r.ctx, r.row, f, OutcomeSucceeded, nil)) })
			return
		}
		e.client.availability.observe(nil)
		r.row.FinishedAt = at
		r.run = e.finished(r.row, f, OutcomeSucceeded, nil)
		e.report(r)
	})
	return true
}

// reports are runs whose outcomes are stored, and whose hooks, log lines and
// reservations have to follow. They crowd in from one statement, which must not wait
// for that.
type reports struct {
	mu        sync.Mutex
	runs      []*activeRun
	reporters int // goroutines at work
}

// reportsAtOnce is how many runs a goroutine reports before it gives up their
// reservations. While there are more than that for each, another one helps: a hook
// or the log may be slow.
const reportsAtOnce = 64

// report concludes a run soon, on another goroutine. It does not block.
func (e *Executor) report(r *activeRun) {
	e.reports.mu.Lock()
	defer e.reports.mu.Unlock()
	e.reports.runs = append(e.reports.runs, r)
	if e.reports.reporters < e.cfg.Concurrency && len(e.reports.runs) > e.reports.reporters*reportsAtOnce {
		e.reports.reporters++
		e.goroutines.run(e.reportAll)
	}
}

func (e *Executor) reportAll() {
	for runs := e.reports.take(); len(runs) > 0; runs = e.reports.take() {
		e.concludeAll(runs)
	}
}

// take returns the next runs to report. None ends a reporter.
func (r *reports) take() []*activeRun {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(len(r.runs), reportsAtOnce)
	taken := r.runs[:n:n]
	if r.runs = r.runs[n:]; len(r.runs) == 0 {
		r.runs = nil
	}
	if n == 0 {
		r.reporters--
	}
	return taken
}
