package report

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// target is what one figure of claimcheck's is to be as a multiple of another.
type target struct {
	scenario, metric string
	versus           string  // the other system
	baseline         string  // the other scenario; empty: the same
	atMost           bool    // else at least
	ratio            float64 // of claimcheck's figure to the other
}

// faster says how many times as many tasks a second it is to do.
func faster(scenario string, ratio float64, versus string) target {
	return target{scenario: scenario, metric: "per_s", ratio: ratio, versus: versus}
}

// atMost says what it may take.
func atMost(scenario, metric string, ratio float64, versus string) target {
	return target{scenario: scenario, metric: metric, ratio: ratio, versus: versus, atMost: true}
}

// flat says that a figure does not suffer from what lies in the table.
func flat(scenario string) []target {
	const allowed = 0.9
	return []target{
		{scenario: scenario, metric: "per_s", ratio: allowed, versus: "claimcheck", baseline: "backlog-10k"},
		{scenario: scenario, metric: "claim_p99_ms", ratio: 1 / allowed, versus: "claimcheck", baseline: "backlog-10k", atMost: true},
	}
}

// targets are those of the project.
var targets = slices.Concat([]target{
	faster("enqueue-16", 3, "river"),
	faster("enqueue-16", 1.2, "bare"),
	faster("enqueue-16", 1, "asynq-fsync"),
	atMost("enqueue-16", "wal_bytes", 0.6, "river"),
	atMost("enqueue-1", "p50_ms", 1.15, "bare"),
	atMost("enqueue-1", "p50_ms", 0.5, "river"),
	faster("batch-1000", 3, "river"),
	faster("batch-1000", 0.9, "ideal"),
	faster("drain-50k", 5, "river"),
	faster("drain-50k", 3.5, "river-bench"),
	faster("drain-50k", 0.8, "ideal"),
	atMost("drain-50k", "server_cpu_us", 0.3, "river"),
	atMost("drain-50k", "peak_rss_mb", 1, "river"),
	faster("push-1", 1, "bare"),
	faster("push-8", 1.2, "bare"),
	faster("push-64", 2.5, "bare"),
	faster("push-256", 4, "bare"),
	atMost("push-64", "p99_ms", 0.5, "bare"),
	atMost("idle-start", "p50_ms", 1, "river"),
	atMost("idle-start-worker", "p50_ms", 1, "river"),
	faster("purge", 8, "river"),
}, flat("backlog-1m"), flat("finished-10m"), flat("delayed-1m"), flat("unknown-1m"))

// band is what a ratio of 1 may be missed by: it means that nobody is worse.
const band = 0.05

// Judge prints the targets whose figures were measured.
func Judge(w io.Writer, results []Result) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	heading := "\nTargets (claimcheck's median as a multiple of the other's)\n"
	for _, t := range targets {
		baseline := t.scenario
		if t.baseline != "" {
			baseline = t.baseline
		}
		ours, ok1 := find(results, t.scenario, "claimcheck", t.metric)
		theirs, ok2 := find(results, baseline, t.versus, t.metric)
		if !ok1 || !ok2 || theirs == 0 {
			continue
		}
		versus, sign := t.versus, "≥"
		if t.baseline != "" {
			versus = "its own " + t.baseline
		}
		if t.atMost {
			sign = "≤"
		}
		verdict := "met"
		if !t.met(ours / theirs) {
			verdict = "MISSED"
		}
		fmt.Fprintf(table, "%s  %s\t%s\t%s %s × %s\t%.2f\t%s\n", heading, t.scenario, t.metric, sign, Number(t.ratio), versus, ours/theirs, verdict)
		heading = ""
	}
	return table.Flush()
}

func (t target) met(ratio float64) bool {
	slack := 0.0
	if t.ratio == 1 {
		slack = band
	}
	if t.atMost {
		return ratio <= t.ratio+slack
	}
	return ratio >= t.ratio-slack
}
