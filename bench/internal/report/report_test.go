package report

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/bench/internal/probe"
)

func results() []Result {
	var c Collected
	for _, perS := range []float64{100, 400, 300} {
		c.Add("enqueue-16", "claimcheck", probe.Metrics{"per_s": perS, "wal_bytes": 500})
	}
	c.Add("enqueue-16", "river", probe.Metrics{"per_s": 100, "wal_bytes": 1000})
	c.Add("enqueue-16", "river", probe.Metrics{"per_s": 120, "wal_bytes": 1000})
	c.Add("enqueue-16", "bare", probe.Metrics{"per_s": 290})
	return c.Results()
}

func TestResultsAreMediansWithTheirRange(t *testing.T) {
	all := results()
	if want := (Result{"enqueue-16", "claimcheck", "per_s", 300, 100, 400, 3}); all[0] != want {
		t.Errorf("got %+v, want %+v", all[0], want)
	}
	if median, ok := find(all, "enqueue-16", "river", "per_s"); !ok || median != 110 {
		t.Errorf("the median of 100 and 120 is %v", median)
	}
}

func TestPrintVerdictsSaysWhatIsMetAndWhatIsNot(t *testing.T) {
	var b strings.Builder
	if err := PrintVerdicts(&b, results()); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 4 {
		t.Fatalf("a heading and three targets that have results, not:\n%s", b.String())
	}
	for i, verdict := range []string{"2.73 MISSED", "1.03 MISSED", "0.500 met"} {
		if !strings.HasSuffix(strings.Join(strings.Fields(lines[i+1]), " "), verdict) {
			t.Errorf("%q should end in %q", lines[i+1], verdict)
		}
	}
}

func TestParityHasABand(t *testing.T) {
	for ratio, met := range map[float64]bool{0.96: true, 0.94: false} {
		if faster("push-1", 1, "bare").met(ratio) != met {
			t.Errorf("%v: met should be %v", ratio, met)
		}
	}
	if within("cold-start", "p50_ms", 1).met(1.01) {
		t.Error("an amount has no band")
	}
	if faster("push-8", 1.2, "bare").met(1.19) {
		t.Error("only parity has a band")
	}
}

func TestWriteIsAListOfResults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.json")
	if err := Write(path, results()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var read []Result
	if err := json.Unmarshal(text, &read); err != nil || len(read) != len(results()) || read[0] != results()[0] {
		t.Errorf("%v: %s", err, text)
	}
}

func TestNumbersHaveThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{0.07934: "0.0793", 1.5: "1.50", 42: "42.0", 12345.6: "12346", 0: "0"} {
		if got := Number(v); got != want {
			t.Errorf("Number(%v) = %s, not %s", v, got, want)
		}
	}
}
