package report

import (
	"slices"
	"testing"

	"github.com/claimcheck-go/claimcheck/bench/internal/scenario"
)

// A target that names what is not measured would never be evaluated.
func TestTargetsAreAboutWhatIsMeasured(t *testing.T) {
	for _, target := range targets {
		for _, of := range [][2]string{{target.scenario, or(target.system, product)}, {or(target.baseline, target.scenario), or(target.versus, product)}} {
			sc, err := scenario.Named(of[0])
			if err != nil || !slices.Contains(sc.Systems, of[1]) {
				t.Errorf("target %q of %s: %s is not measured in %s (%v)", target, target.scenario, of[1], of[0], err)
			}
		}
		for _, metric := range []string{target.metric, or(target.than, target.metric)} {
			if !slices.Contains(Metrics, metric) {
				t.Errorf("target %q of %s: there is no metric %s", target, target.scenario, metric)
			}
		}
	}
}

func TestTargetsMayBeAmountsOrOfTheSameSystem(t *testing.T) {
	all := []Result{
		{Scenario: "cold-start", System: product, Metric: "p50_ms", Median: 41},
		{Scenario: "purge-beside", System: product, Metric: "per_s", Median: 90},
		{Scenario: "purge-beside", System: product, Metric: "alone_per_s", Median: 100},
	}
	want := []Verdict{
		{"purge-beside", "per_s", "≥ 0.800 × its own alone_per_s", 0.9, true},
		{"cold-start", "p50_ms", "≤ 30.0", 41, false},
	}
	if got := Verdicts(all); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
