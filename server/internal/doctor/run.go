// Package doctor checks an installation: its settings, database, queues, accounts
// and URL. It is the command doctor of the server.
//
// Checks run concurrently, each after those that it needs. A check whose needs are
// not met is skipped and names them, so that one fault is one failing line.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Status is how a check ended.
type Status string

// The statuses.
const (
	OK      Status = "ok"
	Warn    Status = "warn"    // it works, but not as it should
	Fail    Status = "fail"    // it does not work
	Skipped Status = "skipped" // it was not run; the detail says why
)

// Finding is what a check saw, and what fixes it.
type Finding struct {
	Status Status
	Detail string
	Fix    string // a command, or a setting and its value
}

// Okf is a finding that needs no fix.
func Okf(format string, args ...any) Finding { return Finding{OK, fmt.Sprintf(format, args...), ""} }

// Warnf is a finding that should be fixed.
func Warnf(fix, format string, args ...any) Finding {
	return Finding{Warn, fmt.Sprintf(format, args...), fix}
}

// Failf is a finding that must be fixed.
func Failf(fix, format string, args ...any) Finding {
	return Finding{Fail, fmt.Sprintf(format, args...), fix}
}

// Skipf is the finding of a check that does not apply; the text is the reason.
func Skipf(format string, args ...any) Finding {
	return Finding{Skipped, fmt.Sprintf(format, args...), ""}
}

// Check is one check of an installation.
type Check struct {
	Name string
	// Needs are the checks that must succeed before this one runs. Names that
	// no check has count as met.
	Needs []string
	// Skip, if not empty, is why the check does not apply.
	Skip string
	// Limit, if not 0, is how long it may take, in place of Limits.Each.
	Limit time.Duration
	// Look returns the finding, and returns early when the context ends.
	Look func(ctx context.Context) Finding
}

// Result is the outcome of one check.
type Result struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Detail string `json:"detail"`
	Fix    string `json:"fix"`
}

// Limits bound how long one check, and all together, may take.
type Limits struct{ Each, All time.Duration }

// grace is what a check has to return once its context has ended.
const grace = time.Second

// errLate is why a check's context ended.
var errLate = errors.New("time is up")

// running is a check in progress. result is written before done is closed.
type running struct {
	Check
	done   chan struct{}
	result Result
}

// Run runs all checks and returns once each has its result, in the order of
// the checks, in which report gets them too, each as soon as those before it are
// there. A check must follow those it needs.
func Run(ctx context.Context, limits Limits, checks []Check, report func(Result)) []Result {
	ctx, cancel := context.WithTimeoutCause(ctx, limits.All, errLate)
	defer cancel()
	runs := make([]*running, len(checks))
	known := make(map[string]*running, len(checks))
	var group sync.WaitGroup
	for i, check := range checks {
		r := &running{Check: check, done: make(chan struct{})}
		var needs []*running
		for _, name := range check.Needs {
			if need, ok := known[name]; ok {
				needs = append(needs, need)
			}
		}
		runs[i], known[check.Name] = r, r
		group.Go(func() {
			defer close(r.done)
			found := r.answer(ctx, cmp.Or(r.Limit, limits.Each), needs)
			r.result = Result{Check: check.Name, Status: found.Status, Detail: oneLine(found.Detail), Fix: oneLine(found.Fix)}
		})
	}
	results := make([]Result, len(runs))
	for i, r := range runs {
		<-r.done
		results[i] = r.result
		report(r.result)
	}
	group.Wait()
	return results
}

// answer waits for what the check needs, and runs it.
func (r *running) answer(ctx context.Context, limit time.Duration, needs []*running) Finding {
	if r.Skip != "" {
		return Finding{Skipped, r.Skip, ""}
	}
	for _, need := range needs {
		<-need.done
		if s := need.result.Status; s == Fail || s == Skipped {
			return Skipf("it needs %s", need.Name)
		}
	}
	if ctx.Err() != nil {
		return ended(ctx)
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer := make(chan Finding, 1)
	go func() { answer <- r.Look(bounded) }()
	var found Finding
	select {
	case found = <-answer:
	case <-bounded.Done():
		select {
		case found = <-answer:
		case <-time.After(grace):
			found = Failf("", "it does not return")
		}
	}
	switch {
	case found.Status != Fail || bounded.Err() == nil:
		return found
	case ctx.Err() != nil:
		return ended(ctx)
	}
	late := fmt.Sprintf("no answer within %s", limit)
	if text := strings.ReplaceAll(found.Detail, context.DeadlineExceeded.Error(), late); text != found.Detail {
		found.Detail = text
	} else {
		found.Detail = late + ": " + found.Detail
	}
	return found
}

// ended is the finding of a check that was cut short with all the others.
func ended(ctx context.Context) Finding {
	if errors.Is(context.Cause(ctx), errLate) {
		return Failf("", "there was no time left to run it")
	}
	return Skipf("interrupted")
}

// Failed reports whether a result is a failure.
func Failed(results []Result) bool {
	for _, r := range results {
		if r.Status == Fail {
			return true
		}
	}
	return false
}

// Summary counts the results.
func Summary(results []Result) string {
	count := make(map[Status]int)
	for _, r := range results {
		count[r.Status]++
	}
	return fmt.Sprintf("%d ok, %d to look at, %d failed, %d skipped", count[OK], count[Warn], count[Fail], count[Skipped])
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
