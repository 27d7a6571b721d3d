// Package report turns measurements into a table, a file, and verdicts.
package report

import (
	"encoding/json"
	"os"
	"slices"

	"github.com/claimcheck-go/claimcheck/bench/internal/probe"
)

// Result is one metric of one system in one scenario, over all runs.
type Result struct {
	Scenario string  `json:"scenario"`
	System   string  `json:"system"`
	Metric   string  `json:"metric"`
	Median   float64 `json:"median"`
	Min      float64 `json:"min"`
	Max      float64 `json:"max"`
	Runs     int     `json:"runs"`
}

// Metrics are the metrics in the order of tables.
var Metrics = []string{
	"per_s", "slot_share", "alone_per_s", "purged_per_s", "p50_ms", "p99_ms", "served_p50_ms", "claim_p50_ms", "claim_p99_ms", "longest_wait_ms",
	"wal_bytes", "server_cpu_us", "client_cpu_us", "peak_rss_mb", "rss_mb", "statements_per_min",
}

// Collected is what was measured so far.
type Collected struct {
	keys   []key // in the order of their first run
	values map[key]map[string][]float64
}

type key struct{ scenario, system string }

// Add adds the metrics of one run.
func (c *Collected) Add(scenario, system string, f probe.Metrics) {
	if c.values == nil {
		c.values = make(map[key]map[string][]float64)
	}
	k := key{scenario, system}
	if c.values[k] == nil {
		c.keys = append(c.keys, k)
		c.values[k] = make(map[string][]float64)
	}
	for metric, value := range f {
		c.values[k][metric] = append(c.values[k][metric], value)
	}
}

// Results are all results, in the order in which scenarios were run.
func (c *Collected) Results() []Result {
	results := []Result{}
	for _, k := range c.keys {
		for _, metric := range Metrics {
			values := slices.Sorted(slices.Values(c.values[k][metric]))
			if len(values) == 0 {
				continue
			}
			n := len(values)
			results = append(results, Result{
				Scenario: k.scenario, System: k.system, Metric: metric, Runs: n,
				Median: (values[(n-1)/2] + values[n/2]) / 2, Min: values[0], Max: values[n-1],
			})
		}
	}
	return results
}

// Write writes results as JSON, one a line.
func Write(path string, results []Result) error {
	text := []byte("[")
	for i, r := range results {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = append(append(text, "\n  "...), line...)
	}
	return os.WriteFile(path, append(text, "\n]\n"...), 0o644)
}

// find returns the median of a metric.
func find(results []Result, scenario, system, metric string) (float64, bool) {
	i := slices.IndexFunc(results, func(r Result) bool {
		return r.Scenario == scenario && r.System == system && r.Metric == metric
	})
	if i < 0 {
		return 0, false
	}
	return results[i].Median, true
}
