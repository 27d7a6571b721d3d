package probe

import (
	"bytes"
	"testing"
)

func TestStatementsAreCountedAndPassedOn(t *testing.T) {
	message := func(kind string, body string) string {
		size := len(body) + 4
		return kind + string([]byte{0, 0, 0, byte(size)}) + body
	}
	sent := message("", "startup") + message("Q", "SELECT 1") + message("P", "a") + message("B", "b") + message("E", "c") + message("S", "") + message("X", "")
	var server bytes.Buffer
	var s Statements
	if err := s.forward(&server, bytes.NewBufferString(sent)); err != nil {
		t.Fatal(err)
	}
	if s.Count() != 2 || server.String() != sent {
		t.Errorf("%d statements, and %q was passed on; want 2, and %q", s.Count(), server.String(), sent)
	}
}

func TestSumIsOfAllStretches(t *testing.T) {
	var s Sum
	s.Add(Metrics{"per_s": 100, "client_cpu_us": 10, "peak_rss_mb": 30}, 100) // a second
	s.Add(Metrics{"per_s": 300, "client_cpu_us": 20, "peak_rss_mb": 20}, 900) // three
	f := s.Metrics()
	if f["per_s"] != 250 || f["client_cpu_us"] != 19 || f["peak_rss_mb"] != 30 {
		t.Errorf("got %v", f)
	}
}
