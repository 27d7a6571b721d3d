package publish

import (
	"strings"

	"github.com/claimcheck-go/claimcheck/bench/internal/chart"
	"github.com/claimcheck-go/claimcheck/bench/internal/report"
)

// picture is one chart: one metric in some scenarios.
type picture struct {
	name, title, metric string
	scenarios           []string
}

var pictures = []picture{
	{"enqueue", "Enqueuing: tasks stored a second (more is better)", "per_s", []string{"enqueue-1", "enqueue-16", "batch-1000"}},
	{"enqueue-latency", "Enqueuing: ms until a task is stored, median (less is better)", "p50_ms", []string{"enqueue-1", "enqueue-16"}},
	{"wal", "Enqueuing: bytes of PostgreSQL's log for a task (less is better)", "wal_bytes", []string{"enqueue-16", "batch-1000"}},
	{"drain", "Working off 50,000 tasks: tasks a second (more is better)", "per_s", []string{"drain-50k"}},
	{"cpu", "Working off 50,000 tasks: µs of the server's CPU for a task (less is better)", "server_cpu_us", []string{"drain-50k"}},
	{"push", "Deliveries over HTTP: tasks a second, by connections (more is better)", "per_s", []string{"push-1", "push-8", "push-64", "push-256"}},
	{"backlog", "Tasks a second with other rows in the table (more is better)", "per_s",
		[]string{"backlog-10k", "backlog-1m", "delayed-1m", "unknown-1m", "finished-10m"}},
	{"claims", "One claim with other rows in the table: ms, 99th percentile (less is better)", "claim_p99_ms",
		[]string{"backlog-10k", "backlog-1m", "delayed-1m", "unknown-1m", "finished-10m"}},
	{"idle", "From enqueue to start on an idle worker: ms, median (less is better)", "p50_ms",
		[]string{"idle-start", "idle-start-sqlite", "idle-start-mariadb"}},
	{"purge", "Deleting what has finished: rows a second (more is better)", "per_s", []string{"purge"}},
	{"databases", "SQLite and MariaDB beside statements by hand: tasks a second (more is better)", "per_s",
		[]string{"sqlite-enqueue", "sqlite-drain", "mariadb-enqueue", "mariadb-drain"}},
}

func (p picture) file() string { return "bench-" + p.name + ".svg" }

// draw returns false if nothing of it was measured.
func (p picture) draw(results []report.Result) (drawing []byte, ok bool, err error) {
	c := chart.Chart{Title: p.title}
	for _, scenario := range p.scenarios {
		panel := chart.Panel{Title: scenario}
		for _, r := range results {
			if r.Scenario == scenario && r.Metric == p.metric {
				panel.Bars = append(panel.Bars, chart.Bar{
					Label: r.System, Kind: kind(r.System), Value: r.Median, Min: r.Min, Max: r.Max, Text: report.Number(r.Median),
				})
			}
		}
		if len(panel.Bars) > 0 {
			c.Panels = append(c.Panels, panel)
		}
	}
	if len(c.Panels) == 0 {
		return nil, false, nil
	}
	drawing, err = c.SVG()
	return drawing, true, err
}

func kind(system string) chart.Kind {
	switch {
	case strings.HasPrefix(system, "claimcheck"):
		return chart.Ours
	case system == "bare" || system == "ideal":
		return chart.Yardstick
	}
	return chart.Peer
}
