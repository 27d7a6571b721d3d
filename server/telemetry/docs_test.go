package telemetry_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/otlptranslator"
	"go.yaml.in/yaml/v3"

	"github.com/claimcheck-go/claimcheck/server/telemetry"
)

// The documentation, the dashboard and the alerts are compared with the instruments.

const root = "../.."

func text(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// prometheusName is the name of a metric in Prometheus.
func prometheusName(t *testing.T, i telemetry.Instrument) string {
	t.Helper()
	namer := otlptranslator.MetricNamer{WithMetricSuffixes: true}
	name, err := namer.Build(otlptranslator.Metric{Name: i.Name, Unit: i.Unit, Type: map[telemetry.Kind]otlptranslator.MetricType{
		telemetry.Counter: otlptranslator.MetricTypeMonotonicCounter, telemetry.Histogram: otlptranslator.MetricTypeHistogram,
		telemetry.Gauge: otlptranslator.MetricTypeGauge,
	}[i.Kind]})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestTheDocumentationListsEveryMetric(t *testing.T) {
	var rows []string
	for line := range strings.Lines(text(t, "docs/telemetry.md")) {
		if strings.HasPrefix(line, "| `claimcheck.") {
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
			if len(cells) != 6 {
				t.Fatalf("%d cells: %s", len(cells), line)
			}
			for i := range cells {
				cells[i] = strings.Trim(cells[i], " `")
			}
			rows = append(rows, strings.Join(slices.Delete(cells, 4, 5), " | "))
		}
	}
	for i, instrument := range telemetry.Instruments() {
		want := strings.Join([]string{instrument.Name, prometheusName(t, instrument), string(instrument.Kind), instrument.Unit, instrument.Description}, " | ")
		if i >= len(rows) || rows[i] != want {
			t.Errorf("row %d of docs/telemetry.md should be\n%s", i, want)
		}
	}
	if len(rows) != len(telemetry.Instruments()) {
		t.Errorf("%d rows", len(rows))
	}
}

// queries are all queries in a JSON or YAML document.
func queries(v any, found []string) []string {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if query, ok := value.(string); ok && (key == "prometheusQuery" || key == "query" || key == "expr") {
				found = append(found, query)
			} else {
				found = queries(value, found)
			}
		}
	case []any:
		for _, value := range v {
			found = queries(value, found)
		}
	}
	return found
}

var metricName = regexp.MustCompile(`claimcheck_\w+`)

// wantKnown checks that queries use existing metrics.
func wantKnown(t *testing.T, file string, asked []string) {
	t.Helper()
	known := make(map[string]bool)
	for _, i := range telemetry.Instruments() {
		name := prometheusName(t, i)
		known[name] = i.Kind != telemetry.Histogram
		if i.Kind == telemetry.Histogram {
			known[name+"_bucket"], known[name+"_sum"], known[name+"_count"] = true, true, true
		}
	}
	for _, query := range asked {
		names := metricName.FindAllString(query, -1)
		if len(names) == 0 {
			t.Errorf("%s: %s asks for nothing", file, query)
		}
		for _, name := range names {
			if !known[name] {
				t.Errorf("%s asks for %s, which there is not", file, name)
			}
		}
	}
}

func TestTheDashboardShowsMetricsThatThereAre(t *testing.T) {
	var dashboard struct {
		DisplayName  string
		MosaicLayout struct {
			Columns int
			Tiles   []struct{ XPos, YPos, Width, Height int }
		}
	}
	var all any
	data := []byte(text(t, "deploy/telemetry/dashboard.json"))
	for _, v := range []any{&dashboard, &all} {
		if err := json.Unmarshal(data, v); err != nil {
			t.Fatal(err)
		}
	}
	asked := queries(all, nil)
	if len(asked) < len(dashboard.MosaicLayout.Tiles) || len(dashboard.MosaicLayout.Tiles) == 0 || dashboard.DisplayName == "" {
		t.Errorf("%d queries for %d tiles", len(asked), len(dashboard.MosaicLayout.Tiles))
	}
	wantKnown(t, "the dashboard", asked)
	taken := make(map[[2]int]bool)
	for _, tile := range dashboard.MosaicLayout.Tiles {
		if at := [2]int{tile.XPos, tile.YPos}; taken[at] || tile.XPos+tile.Width > dashboard.MosaicLayout.Columns || tile.Width*tile.Height == 0 {
			t.Errorf("a tile is at %v, %d wide", at, tile.Width)
		} else {
			taken[at] = true
		}
	}
}

// The policies of Cloud Monitoring and the rules of Prometheus say the same.
func TestTheAlertsAskForMetricsThatThereAre(t *testing.T) {
	type rule struct{ Alert, Expr, For string }
	var rules struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal([]byte(text(t, "deploy/telemetry/prometheus-rules.yaml")), &rules); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "deploy/telemetry/alerts/*.json"))
	if err != nil || len(files) != 5 || len(rules.Groups) != 1 || len(rules.Groups[0].Rules) != len(files) {
		t.Fatalf("%d policies, %v", len(files), err)
	}
	for _, file := range files {
		var policy struct {
			DisplayName, Combiner, Severity string
			Enabled                         bool
			Documentation                   struct{ Content string }
			Conditions                      []struct {
				DisplayName                      string
				ConditionPrometheusQueryLanguage struct{ Query, Duration, EvaluationInterval, AlertRule string }
			}
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &policy); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(policy.Conditions) != 1 || policy.Combiner != "OR" || !policy.Enabled || policy.Severity == "" || policy.Documentation.Content == "" {
			t.Fatalf("%s: %+v", file, policy)
		}
		c := policy.Conditions[0].ConditionPrometheusQueryLanguage
		wantKnown(t, file, []string{c.Query})
		if !slices.Contains(rules.Groups[0].Rules, rule{c.AlertRule, c.Query, c.Duration}) || c.EvaluationInterval == "" {
			t.Errorf("%s is not what prometheus-rules.yaml says: %+v", file, c)
		}
	}
}
