package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// verdict is the result of a run.
type verdict struct {
	run        *run
	drained    time.Duration // from the last fault to the last row's end
	state      state
	counts     map[string]int
	use        []usage // of the workers, at the end
	survivor   string  // the usage of the worker that was never ended
	violations []violation
}

// spare is the number of goroutines, or descriptors, that a worker may have more than at
// its start, besides its connections to the database, each of which is a descriptor and
// may be a goroutine: connections of callers may still be open.
const spare = 12

// workers checks that the processes ended only on signals, and what they use now that
// they are idle.
func (v *verdict) workers() {
	r := v.run
	v.use = make([]usage, len(r.workers))
	for i, w := range r.workers {
		w.mu.Lock()
		for _, text := range w.lost {
			v.violations = append(v.violations, violation{rule: ruleStarts, text: text})
		}
		w.mu.Unlock()
		was := r.baseline[i]
		var use usage
		var err error
		settled := false
		for deadline := time.Now().Add(10 * time.Second); !settled && time.Now().Before(deadline); {
			r.front.transport.CloseIdleConnections()
			use, err = w.usage()
			settled = err == nil && use.Goroutines <= was.Goroutines+connections+spare && use.Descriptors <= was.Descriptors+connections+spare
			if !settled {
				time.Sleep(100 * time.Millisecond) // poll, until the deadline
			}
		}
		v.use[i] = use
		if !settled {
			v.broken(ruleFlat, uuid.Nil, "%s: %+v at first, %+v at the end, %v", w.name, was, use, err)
		}
	}
}

// report prints the results, and fails the test if a rule is broken.
func (v *verdict) report(t *testing.T) {
	t.Helper()
	r := v.run
	var b strings.Builder
	fmt.Fprintf(&b, "%s: -chaos.seed=%d -chaos.duration=%s -chaos.rate=%g, lease %s\n", r.site.name, r.options.seed, r.options.duration, r.options.rate, r.options.lease)
	table(&b, "what happened", v.counts)
	ends := make(map[string]int)
	for _, row := range v.state.rows {
		ends[strings.TrimPrefix(row.task, "chaos.")+" "+row.status]++
	}
	table(&b, "tasks", ends)
	fmt.Fprintf(&b, "%d tasks, %d transitions; drained in %s; workers %+v, at first %+v\n",
		len(v.state.rows), len(v.state.entries), v.drained.Round(10*time.Millisecond), v.use, r.baseline)
	b.WriteString(v.survivor)
	broken := make(map[string]int)
	for _, x := range v.violations {
		if broken[x.rule]++; broken[x.rule] <= 3 {
			t.Errorf("broken: %s: %s: %s", x.rule, x.id, x.text)
		}
	}
	if len(broken) > 0 {
		table(&b, "broken", broken)
		fmt.Fprintf(&b, "verdict: BROKEN")
	} else {
		fmt.Fprintf(&b, "verdict: holds")
	}
	t.Log(b.String())
}

// table prints counts in the order of their names.
func table(b *strings.Builder, title string, counts map[string]int) {
	fmt.Fprintf(b, "%s:\n", title)
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(b, "  %6d  %s\n", counts[name], name)
	}
}
