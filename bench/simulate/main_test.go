package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/bench/internal/sim"
)

func TestFlagsDescribeASystem(t *testing.T) {
	var out bytes.Buffer
	// One CPU at 890 µs a task lets 1,124 tasks/s through, and 4 queues 2,000.
	err := command(&out, []string{"-queues", "4", "-queue-running", "5000", "-db-cpus", "1", "-warm-up", "5s", "-duration", "20s"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"the formula says 1124, for database CPU\n", "the bottleneck is database CPU\n", "a million tasks cost $"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, &out)
		}
	}
	cfg, err := parse([]string{"-instances", "7", "-merged", "-work-spread", "heavy"})
	if err != nil || cfg.Warm != 7 || cfg.InsertCPU != 60*time.Microsecond || cfg.WorkSpread != sim.Heavy {
		t.Errorf("%+v, %v", cfg, err)
	}
}

func TestWrongFlagsAreRefused(t *testing.T) {
	for want, args := range map[string][]string{
		"queues must be positive":   {"-queues", "0"},
		"must be constant, expo":    {"-work-spread", "wide"},
		"there are only flags, not": {"four"},
		"warm is 3":                 {"-instances", "2", "-warm", "3"},
	} {
		if err := command(&bytes.Buffer{}, args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}

func TestExamplesAreATable(t *testing.T) {
	cfg := sim.Default()
	cfg.WarmUp, cfg.Duration = time.Second, 10*time.Second
	var out bytes.Buffer
	if err := examples(&out, []sim.Example{{Name: "small", Config: cfg}}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[2], "| small | 500 | ") || strings.Count(lines[0], "|") != strings.Count(lines[2], "|") {
		t.Errorf("%s", &out)
	}
	if err := timeline(&out); err != nil || !strings.Contains(out.String(), "| 30 | 5695 | 12 |") {
		t.Errorf("%v\n%s", err, &out)
	}
	names := map[string]bool{}
	for _, example := range sim.Examples() {
		if names[example.Name] {
			t.Errorf("two are called %q", example.Name)
		}
		names[example.Name] = true
	}
}

// What docs/scaling.md prints of the examples is what they are now. Their
// simulations are left out here, as they take a minute.
func TestScalingPageShowsTheseExamples(t *testing.T) {
	page, err := os.ReadFile("../../docs/scaling.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, example := range sim.Examples() {
		limit, most := sim.Least(sim.Capacity(example.Config))
		line := fmt.Sprintf("\n| %s | %.0f | ", example.Name, most)
		_, rest, found := strings.Cut(string(page), line)
		rest, _, _ = strings.Cut(rest, "\n")
		if !found || !strings.Contains(rest, string(limit)) {
			t.Errorf("the page has no line %q with the limit %s: make bench-simulate", line, limit)
		}
	}
	var table bytes.Buffer
	if err := timeline(&table); err != nil || !strings.Contains(string(page), table.String()) {
		t.Errorf("the page has another timeline, or %v", err)
	}
}
