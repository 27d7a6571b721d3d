package chaos

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// verdict is what a run has come to.
type verdict struct {
	run        *run
	began      time.Time
	drained    time.Duration // from the last fault to the last row's end
	state      state
	counts     map[string]int
	use        []figures // of the workers, at the end
	violations []violation
}

// spare is how many goroutines, or descriptors, a worker may have more than at
// its beginning, beside its connections to the database: those of callers that
// are still open.
const spare = 12

// workers looks at how the processes have been, and what they use now that they
// are idle.
func (v *verdict) workers() {
	r := v.run
	v.use = make([]figures, len(r.workers))
	for i, w := range r.workers {
		w.mu.Lock()
		for _, text := range w.lost {
			v.violations = append(v.violations, violation{rule: ruleStarts, text: text})
		}
		w.mu.Unlock()
		was := r.baseline[i]
		var use figures
		var err error
		settled := false
		for deadline := time.Now().Add(10 * time.Second); !settled && time.Now().Before(deadline); {
			r.front.transport.CloseIdleConnections()
			use, err = w.figures()
			settled = err == nil && use.Goroutines <= was.Goroutines+spare && use.Descriptors <= was.Descriptors+connections+spare
			if !settled {
				time.Sleep(100 * time.Millisecond) // a look each time, as long as it may take
			}
		}
		v.use[i] = use
		if !settled {
			v.broken(ruleFlat, uuid.Nil, "%s: %+v at first, %+v at the end, %v", w.name, was, use, err)
		}
	}
}

// faults counts what has happened, and names what has not.
func (v *verdict) faults() {
	r := v.run
	v.counts = r.tally.all()
	want := []string{"cancel"}
	for _, f := range r.faults() {
		want = append(want, f.name)
	}
	if r.cloud != nil {
		cut := 0
		for command, n := range r.site.proxy.Cuts() {
			cut += n
			v.counts["cut after "+command] = n
		}
		v.counts["cut after commit"] = cut
		for fault := range cloudFaults {
			v.counts["Cloud Tasks: "+string(fault)] = r.cloud.Stats().Faults[fault]
			want = append(want, "Cloud Tasks: "+string(fault))
		}
		want = append(want, "requeue")
	}
	v.effects()
	want = append(want, "taken over", "given back", "worker lost")
	for _, what := range want {
		if v.counts[what] == 0 && !r.options.impatient {
			v.broken(ruleFaults, uuid.Nil, "this has not happened: %s", what)
		}
	}
}

// effects counts what the faults have led to.
func (v *verdict) effects() {
	f := v.run.front
	f.mu.Lock()
	v.counts["finish refused, said so"] = f.refused
	f.mu.Unlock()
	for i := range v.state.entries {
		e := &v.state.entries[i]
		switch {
		case e.claimed() && e.status[0] == "RUNNING", e.status == [2]string{"RUNNING", "READY"} && e.claim[1] == "":
			v.counts["taken over"]++
		case e.interruptions[1] > e.interruptions[0]:
			v.counts["given back"]++
		case e.status[1] == "FAILED" && e.claim[1] == "":
			v.counts["worker lost"]++
		}
	}
	for _, p := range v.state.promises {
		if p.rolledBack {
			v.counts["rolled back"]++
		}
	}
}

// first is the violation that came first, with how long after the run's
// beginning it was, or was seen.
func (v *verdict) first() (violation, time.Duration) {
	earliest := slices.MinFunc(v.violations, func(a, b violation) int {
		return cmp.Compare(cmp.Or(a.at, 1<<62), cmp.Or(b.at, 1<<62))
	})
	if earliest.at == 0 || len(v.state.entries) == 0 {
		return earliest, time.Since(v.began)
	}
	return earliest, time.Duration(earliest.at-v.state.entries[0].at) * time.Microsecond
}

// report prints the account, and fails the test if it does not come out even.
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
