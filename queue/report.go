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
	f := r.ending(Finish{Status: StatusSuccessful, ReturnValue: res.value, Errors: r.restoredErrors()})
	e.async.FinishAsync(r.claim, f, func(at time.Time, err error) {
		if err != nil { // finish repeats it, and acts on the error
			e.goroutines.run(func() { e.conclude(r, e.finish(r, f, OutcomeSucceeded, nil)) })
			return
		}
		e.client.availability.observe(nil)
		r.row.FinishedAt = at
		r.run = e.finished(r, f, OutcomeSucceeded, nil)
		e.report(r)
	})
	return true
}

// reports are runs whose outcomes are stored, and whose hooks, log lines and
// reservations have to follow. Many arrive at once, from one statement, and the next
// statement must not wait for that.
type reports struct {
	mu        sync.Mutex
	runs      []*activeRun
	reporters int // goroutines at work
	slow      int // of these, those that a hook or the log delays
}

// reportsAtOnce is how many runs a goroutine reports before it gives up their
// reservations. While there are more than that for each, another one helps.
const reportsAtOnce = 64

// slowReport is how long these may take. Then a hook or the log is slow: it delays
// only the run that it is called for, and others take the goroutine's place.
const slowReport = 2 * time.Millisecond

// report concludes a run soon, on another goroutine. It does not block.
func (e *Executor) report(r *activeRun) {
	e.reports.mu.Lock()
	defer e.reports.mu.Unlock()
	e.reports.runs = append(e.reports.runs, r)
	e.helpReport()
}

// helpReport starts another reporter if there are too few. e.reports.mu is held.
func (e *Executor) helpReport() {
	r := &e.reports
	if r.reporters < e.cfg.Concurrency && len(r.runs) > (r.reporters-r.slow)*reportsAtOnce {
		r.reporters++
		e.goroutines.run(e.reportAll)
	}
}

// reporter is a goroutine that reports runs. reports.mu is held for its fields.
type reporter struct {
	reported []*activeRun // whose reservations are to be given up
	slow     bool
	ended    bool
}

func (e *Executor) reportAll() {
	p := &reporter{}
	timer := time.AfterFunc(slowReport, func() { e.replaceSlow(p) })
	defer timer.Stop()
	var r *activeRun
	for {
		var ended []*activeRun
		if r, ended = e.reports.next(p, r); len(ended) > 0 {
			e.endAll(ended)
			timer.Reset(slowReport)
		}
		if r == nil {
			return
		}
		e.finalize(r)
	}
}

// next returns the next run to report after r, and the runs that are to be ended
// before. None ends the reporter.
func (r *reports) next(p *reporter, last *activeRun) (next *activeRun, ended []*activeRun) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last != nil {
		p.reported = append(p.reported, last)
	}
	if p.slow || len(r.runs) == 0 || len(p.reported) == reportsAtOnce {
		ended, p.reported = p.reported, nil
	}
	if p.slow {
		p.slow = false
		r.slow--
	}
	if len(r.runs) == 0 {
		p.ended = true
		r.reporters--
		return nil, ended
	}
	next, r.runs[0] = r.runs[0], nil
	if r.runs = r.runs[1:]; len(r.runs) == 0 {
		r.runs = nil
	}
	return next, ended
}

// replaceSlow ends what a slow reporter has reported, and has others take its place.
func (e *Executor) replaceSlow(p *reporter) {
	e.reports.mu.Lock()
	if p.ended || p.slow {
		e.reports.mu.Unlock()
		return
	}
	p.slow = true
	e.reports.slow++
	reported := p.reported
	p.reported = nil
	e.helpReport()
	e.reports.mu.Unlock()
	e.endAll(reported)
}
