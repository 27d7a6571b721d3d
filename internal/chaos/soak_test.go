package chaos

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// elder is the worker that lives through a soak, so that what it uses can be
// looked at over a long time: it is stopped, but never ended. Otherwise, and
// where there is only one worker, there is none.
func (r *run) elder() *worker {
	if !r.options.soak || len(r.workers) == 1 {
		return nil
	}
	return r.workers[0]
}

// sample notes what the elder uses, unless it is stopped.
func (r *run) sample(context.Context) {
	if use, err := r.elder().figures(); err == nil {
		r.samples = append(r.samples, use)
	}
}

// What a worker under load may use more at the end of a soak than in its second
// quarter: the first fills its caches and pools, and how many requests wait varies
// from one minute to another. Once it is idle it is held to spare.
const (
	moreMemory = 16 << 20
	moreOthers = 60
)

// flat compares what the elder used early and late.
func (v *verdict) flat() {
	samples := v.run.samples
	quarter := len(samples) / 4
	if quarter < 10 {
		return
	}
	early, late := typical(samples[quarter:2*quarter]), typical(samples[len(samples)-quarter:])
	v.elder = fmt.Sprintf("the worker that lived through it, by quarters: %+v, %+v, %+v, %+v\n",
		typical(samples[:quarter]), early, typical(samples[2*quarter:3*quarter]), late)
	if late.Resident > early.Resident+moreMemory || late.Goroutines > early.Goroutines+moreOthers || late.Descriptors > early.Descriptors+moreOthers {
		v.broken(ruleFlat, uuid.Nil, "%s", v.elder)
	}
}

// typical are the medians of samples.
func typical(samples []figures) figures {
	median := func(of func(figures) int) int {
		var all []int
		for _, s := range samples {
			all = append(all, of(s))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return figures{
		Goroutines:  median(func(f figures) int { return f.Goroutines }),
		Descriptors: median(func(f figures) int { return f.Descriptors }),
		Resident:    median(func(f figures) int { return f.Resident }),
	}
}
