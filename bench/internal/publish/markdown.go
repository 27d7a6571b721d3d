package publish

import (
	"fmt"
	"slices"
	"strings"

	"github.com/claimcheck-go/claimcheck/bench/internal/deps"
	"github.com/claimcheck-go/claimcheck/bench/internal/report"
)

// markdown is the text between the markers.
func markdown(results []report.Result, m report.Machine, costs *deps.Costs, charts []picture) string {
	var b strings.Builder
	where(&b, m)
	b.WriteString("### Targets\n\nThe value is claimcheck's median, divided by the other figure where the target names one.\n\n")
	table(&b, []string{"scenario", "metric", "target", "value", ""}, func(row func(...string)) {
		for _, v := range report.Verdicts(results) {
			said := "met"
			if !v.Met {
				said = "**missed**"
			}
			row(v.Scenario, v.Metric, v.Target, report.Number(v.Value), said)
		}
	})
	b.WriteString("### Charts\n\nBlue is claimcheck, grey are its peers, and the faintest bars are the yardsticks. The thin line is the range over all runs.\n\n")
	for _, p := range charts {
		fmt.Fprintf(&b, "![%s](images/%s)\n\n", p.title, p.file())
	}
	b.WriteString("### All figures\n\nMedian (least to greatest).\n\n")
	for len(results) > 0 {
		n := 0
		for n < len(results) && results[n].Scenario == results[0].Scenario {
			n++
		}
		block(&b, results[:n])
		results = results[n:]
	}
	if costs != nil {
		dependencies(&b, costs)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// where says what the results depend on.
func where(b *strings.Builder, m report.Machine) {
	fmt.Fprintf(b, "Measured %s at %s with `%s` in `bench`, which took %s: %s.\n\n", m.Date, or(m.Revision, "an unknown revision"), m.Command, m.Took, m.Sizes)
	fmt.Fprintf(b, "- %s, %d cores; load before: %s\n- %s\n- PostgreSQL with %s\n- writing 8 kB and fsync on its disk: %s\n",
		m.Processor, m.Cores, m.Load, strings.Join(m.Versions, ", "), strings.Join(m.Settings, ", "), m.Fsync)
	for _, left := range m.LeftOut {
		fmt.Fprintf(b, "- %s\n", left)
	}
	for _, warning := range m.Warnings {
		fmt.Fprintf(b, "- **Doubtful:** %s\n", warning)
	}
	b.WriteString("\n")
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// block is the table of one scenario.
func block(b *strings.Builder, results []report.Result) {
	var systems, metrics []string
	cells := make(map[[2]string]string)
	for _, r := range results {
		if !slices.Contains(systems, r.System) {
			systems = append(systems, r.System)
		}
		cell := report.Number(r.Median)
		if r.Min != r.Max {
			cell += fmt.Sprintf(" (%s to %s)", report.Number(r.Min), report.Number(r.Max))
		}
		cells[[2]string{r.System, r.Metric}] = cell
	}
	for _, metric := range report.Metrics {
		if slices.ContainsFunc(results, func(r report.Result) bool { return r.Metric == metric }) {
			metrics = append(metrics, metric)
		}
	}
	fmt.Fprintf(b, "#### %s\n\n", results[0].Scenario)
	table(b, append([]string{"system"}, metrics...), func(row func(...string)) {
		for _, system := range systems {
			line := []string{system}
			for _, metric := range metrics {
				line = append(line, cells[[2]string{system, metric}])
			}
			row(line...)
		}
	})
}

// dependencies is the table of what each costs; the small ones are one line.
func dependencies(b *strings.Builder, costs *deps.Costs) {
	fmt.Fprintf(b, "### What each dependency costs\n\nTime and memory to initialise its packages at each start, and its part of the program, which has %.1f MB stripped (`make bench-deps`).\n\n", costs.BinaryMB)
	var rest deps.Cost
	others := 0
	table(b, []string{"module", "init ms", "init kB", "program MB"}, func(row func(...string)) {
		for _, c := range costs.Modules {
			if c.InitMS < 0.1 && c.InitKB < 50 && c.BinaryMB < 0.5 {
				rest.InitMS, rest.InitKB, rest.BinaryMB, others = rest.InitMS+c.InitMS, rest.InitKB+c.InitKB, rest.BinaryMB+c.BinaryMB, others+1
				continue
			}
			row(c.Module, fmt.Sprintf("%.2f", c.InitMS), fmt.Sprintf("%.0f", c.InitKB), fmt.Sprintf("%.2f", c.BinaryMB))
		}
		row(fmt.Sprintf("%d others", others), fmt.Sprintf("%.2f", rest.InitMS), fmt.Sprintf("%.0f", rest.InitKB), fmt.Sprintf("%.2f", rest.BinaryMB))
	})
}

// table writes a Markdown table.
func table(b *strings.Builder, heading []string, fill func(row func(cells ...string))) {
	row := func(cells ...string) { fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | ")) }
	row(heading...)
	fmt.Fprintf(b, "|%s\n", strings.Repeat("---|", len(heading)))
	fill(row)
	b.WriteString("\n")
}
