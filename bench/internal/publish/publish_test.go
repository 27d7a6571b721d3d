package publish

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/bench/internal/report"
	"github.com/claimcheck-go/claimcheck/bench/internal/scenario"
)

// The documents say what the results say, and nothing else.
func TestDocumentsAreThoseOfTheResults(t *testing.T) {
	files, err := Files("../../../docs", Sources{Results: "../../results.json", Dependencies: "../../dependencies.json"})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range files {
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the results give (%v): run make bench-publish", path, err)
		}
	}
}

func TestFilesAreThePageAndItsCharts(t *testing.T) {
	docs := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(docs, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write(page, "before\n"+begin+"\nold\n"+end+"\nafter\n")
	results := []report.Result{
		{Scenario: "enqueue-16", System: "claimcheck", Metric: "per_s", Median: 400, Min: 300, Max: 500, Runs: 3},
		{Scenario: "enqueue-16", System: "river", Metric: "per_s", Median: 100, Min: 100, Max: 100, Runs: 3},
	}
	source := filepath.Join(docs, "results.json")
	if err := errors.Join(report.Write(source, results), report.WriteMachine(source, report.Machine{Processor: "a fast one"})); err != nil {
		t.Fatal(err)
	}
	costs := write("dependencies.json", `{"binary_mb": 30, "modules": [{"module": "example.com/big", "init_ms": 1.5}]}`)
	files, err := Files(docs, Sources{Results: source, Dependencies: costs})
	if err != nil {
		t.Fatal(err)
	}
	if files[filepath.Join(docs, "images", "bench-enqueue.svg")] == nil || len(files) != 2 {
		t.Errorf("%d files, want the page and the one chart that has results", len(files))
	}
	got := string(files[filepath.Join(docs, page)])
	for _, want := range []string{
		"before\n" + begin, end + "\nafter\n", "a fast one", "images/bench-enqueue.svg",
		"| enqueue-16 | per_s | ≥ 3.00 × river | 4.00 | met |", "| claimcheck | 400 (300 to 500) |", "| river | 100 |", "| example.com/big | 1.50 |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "old") {
		t.Error("what stood there before is still there")
	}
}

// A chart of what is not measured would never be drawn.
func TestChartsAreOfWhatIsMeasured(t *testing.T) {
	for _, p := range pictures {
		for _, name := range p.scenarios {
			if _, err := scenario.Named(name); err != nil {
				t.Errorf("%s: %v", p.name, err)
			}
		}
		if !slices.Contains(report.Metrics, p.metric) {
			t.Errorf("%s: there is no metric %s", p.name, p.metric)
		}
	}
}

func TestMarkersMustBeThere(t *testing.T) {
	if _, err := between([]byte(end+begin), ""); err == nil {
		t.Error("markers in the wrong order were accepted")
	}
}
