package chaos

import (
	"context"
	"maps"
	"sync"

	"github.com/google/uuid"
)

// tally counts events by name.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (y *tally) add(what string, n int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.counts[what] += n
}

// greatest keeps the greatest number.
func (y *tally) greatest(what string, n int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.counts[what] = max(y.counts[what], n)
}

func (y *tally) all() map[string]int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return maps.Clone(y.counts)
}

// counts returns the faults and their effects by name.
func (r *run) counts(s state) map[string]int {
	counts := r.tally.all()
	if r.cloud != nil {
		for command, n := range r.site.proxy.Cuts() {
			counts["cut after commit"] += n
			counts["cut after commit: "+command] = n
		}
		for fault, n := range r.cloud.Stats().Faults {
			counts["Cloud Tasks: "+string(fault)] = n
		}
	}
	r.front.mu.Lock()
	counts["finish refused, said so"] = r.front.refused
	r.front.mu.Unlock()
	for i := range s.entries {
		e := &s.entries[i]
		switch {
		case e.claimed() && e.status[0] == "RUNNING", e.status == [2]string{"RUNNING", "READY"} && e.claim[1] == "":
			counts["taken over"]++
		case e.interruptions[1] > e.interruptions[0]:
			counts["released"]++
		case e.status == [2]string{"RUNNING", "READY"} && e.attempts[1] < e.attempts[0]:
			counts["unclaimed or snoozed"]++
		case e.status[1] == "FAILED" && e.claim[1] == "":
			counts["worker lost"]++
		}
	}
	for _, p := range s.promises {
		if p.rolledBack {
			counts["rolled back"]++
		}
		if p.met != uuid.Nil {
			counts["key met"]++
		}
	}
	for _, o := range s.occurrences {
		if o.skipped != "" {
			counts["key of an occurrence met"]++
		}
		counts["occurrences"]++
	}
	return counts
}

// missing returns the events that must happen in every run and have not. Impatient runs
// may end before.
func (r *run) missing(counts map[string]int) (missing []string) {
	if r.options.impatient {
		return nil
	}
	want := []string{"cancel", "sweep by HTTP", "taken over", "released", "worker lost", "pause", "resume", "key met", "key of an occurrence met", "tick", "occurrences", "group"}
	for _, f := range r.faults() {
		want = append(want, f.name)
	}
	if r.cloud != nil {
		want = append(want, "requeue", "rolled back", "sweep in Go", "tick in Go")
		for fault := range cloudFaults {
			want = append(want, "Cloud Tasks: "+string(fault))
		}
	}
	for _, what := range want {
		if counts[what] == 0 {
			missing = append(missing, what)
		}
	}
	return missing
}

// complete reports whether all events have happened that must.
func (r *run) complete(ctx context.Context) bool {
	s, err := r.readState(ctx)
	return err == nil && len(r.missing(r.counts(s))) == 0
}
