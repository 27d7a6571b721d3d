package server

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/holdport"
)

// BenchmarkColdStart is the time from exec to the first answer of the stripped
// server, on SQLite with an existing schema:
//
//	go test -run '^$' -bench ColdStart -benchtime 20x ./server
func BenchmarkColdStart(b *testing.B) {
	dir := b.TempDir()
	binary := filepath.Join(dir, "server")
	if out, err := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "../cmd/server").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	address := holdport.ForTest(b).Addr()
	start := func() time.Duration {
		server := exec.Command(binary, "--listen", address)
		server.Dir, server.Env = dir, []string{"HOME=" + dir}
		begin := time.Now()
		if err := server.Start(); err != nil {
			b.Fatal(err)
		}
		defer func() {
			_ = server.Process.Signal(syscall.SIGTERM)
			_ = server.Wait()
		}()
		for time.Since(begin) < 10*time.Second {
			if answer, err := http.Get("http://" + address + "/health/live"); err == nil {
				_ = answer.Body.Close()
				return time.Since(begin)
			}
		}
		b.Fatal("no answer")
		return 0
	}
	start() // makes the schema
	var times []time.Duration
	for b.Loop() {
		times = append(times, start())
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "ms-median")
	b.ReportMetric(float64(times[len(times)-1].Microseconds())/1000, "ms-max")
}
