package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// Table prints one block for each scenario: the median of each metric, and its
// least and greatest value over the runs.
func Table(w io.Writer, results []Result) error {
	for len(results) > 0 {
		n := 0
		for n < len(results) && results[n].Scenario == results[0].Scenario {
			n++
		}
		if err := block(w, results[:n]); err != nil {
			return err
		}
		results = results[n:]
	}
	return nil
}

func block(w io.Writer, results []Result) error {
	var systems, metrics []string
	cells := make(map[[2]string]string)
	for _, r := range results {
		if len(systems) == 0 || systems[len(systems)-1] != r.System {
			systems = append(systems, r.System)
		}
		cells[[2]string{r.System, r.Metric}] = fmt.Sprintf("%s (%s–%s)", Number(r.Median), Number(r.Min), Number(r.Max))
	}
	for _, metric := range Metrics {
		for _, system := range systems {
			if cells[[2]string{system, metric}] != "" {
				metrics = append(metrics, metric)
				break
			}
		}
	}
	fmt.Fprintf(w, "\n%s, %d runs: median (min–max)\n", results[0].Scenario, results[0].Runs)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "  system\t%s\n", strings.Join(metrics, "\t"))
	for _, system := range systems {
		row := []string{"  " + system}
		for _, metric := range metrics {
			row = append(row, cells[[2]string{system, metric}])
		}
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	return table.Flush()
}

// Number is a figure with three digits that count, or all before the point.
func Number(v float64) string {
	if v == 0 {
		return "0"
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	return fmt.Sprintf("%.*f", max(digits, 0), v)
}
