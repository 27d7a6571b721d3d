package chaos

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// survivor returns the worker that is stopped, but never ended, during a soak, so that
// its usage can be compared over a long time. Outside of a soak, and with only one
// worker, it returns nil.
func (r *run) survivor() *worker {
	if !r.options.soak || len(r.workers) == 1 {
		return nil
	}
	return r.workers[0]
}

// sample records the survivor's usage, unless it is stopped.
func (r *run) sample(context.Context) {
	if use, err := r.survivor().usage(); err == nil {
		r.samples = append(r.samples, use)
	}
}

// The usage of a worker under load that may be added between the second quarter of a
// soak and its end: the first quarter fills caches and pools, and the number of waiting
// requests varies. When the worker is idle, spare is the limit.
const (
	moreMemory = 16 << 20
	moreOthers = 60
)

// flat compares the survivor's early and late usage.
func (v *verdict) flat() {
	samples := v.run.samples
	quarter := len(samples) / 4
	if quarter < 10 {
		return
	}
	early, late := typical(samples[quarter:2*quarter]), typical(samples[len(samples)-quarter:])
	v.survivor = fmt.Sprintf("the worker that was never ended, by quarters: %+v, %+v, %+v, %+v\n",
		typical(samples[:quarter]), early, typical(samples[2*quarter:3*quarter]), late)
	if late.Resident > early.Resident+moreMemory || late.Goroutines > early.Goroutines+moreOthers || late.Descriptors > early.Descriptors+moreOthers {
		v.broken(ruleFlat, uuid.Nil, "%s", v.survivor)
	}
}

// typical returns the medians of samples.
func typical(samples []usage) usage {
	median := func(of func(usage) int) int {
		var all []int
		for _, s := range samples {
			all = append(all, of(s))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return usage{
		Goroutines:  median(func(f usage) int { return f.Goroutines }),
		Descriptors: median(func(f usage) int { return f.Descriptors }),
		Resident:    median(func(f usage) int { return f.Resident }),
	}
}
