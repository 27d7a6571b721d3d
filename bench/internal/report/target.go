package report

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// target is what one figure of claimcheck's is to be: a multiple of another
// figure, or an amount.
type target struct {
	scenario, metric string
	system           string // whose figure it is; empty: product
	versus           string // the other system; empty: the limit is an amount
	baseline         string // the other scenario; empty: the same
	than             string // the other metric; empty: the same
	atMost           bool   // else at least
	limit            float64
}

// faster says how many times as many tasks a second it is to do.
func faster(scenario string, ratio float64, versus string) target {
	return target{scenario: scenario, metric: "per_s", limit: ratio, versus: versus}
}

// atMost says what it may take.
func atMost(scenario, metric string, ratio float64, versus string) target {
	return target{scenario: scenario, metric: metric, limit: ratio, versus: versus, atMost: true}
}

// within says what it may take, in the metric's unit.
func within(scenario, metric string, amount float64) target {
	return target{scenario: scenario, metric: metric, limit: amount, atMost: true}
}

// atLeast says what it is to reach, in the metric's unit.
func atLeast(scenario, metric string, amount float64) target {
	return target{scenario: scenario, metric: metric, limit: amount}
}

// flat says that a metric does not suffer from the rows in the table.
func flat(scenario string) []target {
	const allowed = 0.9
	return []target{
		{scenario: scenario, metric: "per_s", limit: allowed, versus: product, baseline: "backlog-10k"},
		{scenario: scenario, metric: "claim_p99_ms", limit: 1 / allowed, versus: product, baseline: "backlog-10k", atMost: true},
	}
}

// product is the system that the targets are for.
const product = "claimcheck"

// targets are those of the project.
var targets = slices.Concat([]target{
	faster("enqueue-16", 3, "river"),
	faster("enqueue-16", 1.2, "bare"),
	faster("enqueue-16", 1, "asynq-fsync"),
	atMost("enqueue-16", "wal_bytes", 0.6, "river"),
	atMost("enqueue-1", "p50_ms", 1.15, "bare"),
	atMost("enqueue-1", "p50_ms", 0.5, "river"),
	faster("batch-1000", 3, "river"),
	faster("batch-1000", 0.75, "ideal"),
	faster("create-task", 0.9, "bare"),
	{scenario: "create-task", metric: "per_s", system: "claimcheck-batch", limit: 2, versus: "bare"},
	faster("drain-50k", 3, "river"),
	faster("drain-50k", 2, "river-bench"),
	faster("drain-50k", 1.4, "graphile-worker"),
	faster("drain-50k", 0.55, "ideal"),
	within("drain-50k", "client_cpu_us", 20),
	within("drain-50k", "server_cpu_us", 32),
	within("drain-50k", "peak_rss_mb", 64),
	atLeast("sleep-1ms", "slot_share", 0.9),
	atLeast("sleep-20ms", "slot_share", 0.9),
	within("full-beside-idle", "longest_wait_ms", 1000),
	faster("push-1", 0.9, "bare"),
	faster("push-8", 1, "bare"),
	faster("push-64", 2.2, "bare"),
	faster("push-64", 0.75, "ideal"),
	faster("push-256", 4, "bare"),
	faster("push-256", 0.75, "ideal"),
	atMost("push-64", "p99_ms", 0.5, "bare"),
	atMost("idle-start", "p50_ms", 1, "river"),
	within("idle-start", "p50_ms", 5),
	within("idle-start-sqlite", "p50_ms", 5),
	within("idle-start-mariadb", "p50_ms", 5),
	atMost("idle-start-worker", "p50_ms", 1, "river"),
}, flat("backlog-1m"), flat("delayed-1m"), flat("unknown-1m"), flat("finished-10m"), []target{
	faster("purge", 8, "river"),
	{scenario: "purge-beside", metric: "per_s", limit: 0.8, versus: product, than: "alone_per_s"},
	faster("sqlite-enqueue", 0.7, "bare"),
	faster("sqlite-drain", 0.7, "bare"),
	faster("mariadb-enqueue", 0.7, "bare"),
	faster("mariadb-drain", 0.7, "bare"),
	within("cold-start", "p50_ms", 30),
	within("cold-start", "rss_mb", 35),
	within("cold-start-postgres", "served_p50_ms", 60),
	within("idle-serve", "statements_per_min", 0),
	within("idle-serve", "rss_mb", 35),
})

// band is what a ratio of 1 may be missed by: 1 means not worse than the other.
const band = 0.05

// Verdict says whether a target was met.
type Verdict struct {
	Scenario, Metric string
	Target           string // as people read it
	Value            float64
	Met              bool
}

// Verdicts evaluates the targets whose metrics were measured.
func Verdicts(results []Result) []Verdict {
	var verdicts []Verdict
	for _, t := range targets {
		value, ok := find(results, t.scenario, or(t.system, product), t.metric)
		if !ok {
			continue
		}
		if t.versus != "" {
			other, ok := find(results, or(t.baseline, t.scenario), t.versus, or(t.than, t.metric))
			if !ok || other == 0 {
				continue
			}
			value /= other
		}
		verdicts = append(verdicts, Verdict{t.scenario, t.metric, t.String(), value, t.met(value)})
	}
	return verdicts
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (t target) String() string {
	sign := "≥"
	if t.atMost {
		sign = "≤"
	}
	if t.system != "" {
		sign = t.system + " " + sign
	}
	switch {
	case t.versus == "":
		return fmt.Sprintf("%s %s", sign, Number(t.limit))
	case t.baseline != "":
		return fmt.Sprintf("%s %s × its own %s", sign, Number(t.limit), t.baseline)
	case t.than != "":
		return fmt.Sprintf("%s %s × its own %s", sign, Number(t.limit), t.than)
	}
	return fmt.Sprintf("%s %s × %s", sign, Number(t.limit), t.versus)
}

// PrintVerdicts prints the verdicts.
func PrintVerdicts(w io.Writer, results []Result) error {
	verdicts := Verdicts(results)
	if len(verdicts) == 0 {
		return nil
	}
	fmt.Fprintln(w, "\nTargets (claimcheck's median)")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, v := range verdicts {
		said := "met"
		if !v.Met {
			said = "MISSED"
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\t%s\t%s\n", v.Scenario, v.Metric, v.Target, Number(v.Value), said)
	}
	return table.Flush()
}

func (t target) met(value float64) bool {
	slack := 0.0
	if t.limit == 1 && t.versus != "" {
		slack = band
	}
	if t.atMost {
		return value <= t.limit+slack
	}
	return value >= t.limit-slack
}
