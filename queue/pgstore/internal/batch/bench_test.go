//go:build unix

package batch

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkCrowd is what the requests of a crowd cost that is there all the time, as
// the finishes of a worker that drains: each caller waits for its answer. The figures
// are of one request; cpu-ns/op leaves out that statements take their time.
func BenchmarkCrowd(b *testing.B) {
	for _, callers := range []int{16, 64, 256} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			batcher := New(Config[int, int]{
				Size: func(int) int { return 100 },
				One:  func(_ context.Context, n int) (int, error) { return n, nil },
				Many: func(_ context.Context, requests []int) ([]Result[int], error) {
					time.Sleep(100 * time.Microsecond)
					results := make([]Result[int], len(requests))
					for i, n := range requests {
						results[i] = Result[int]{Answer: n, Served: true}
					}
					return results, nil
				},
				Limits: Limits{Single: true, Concurrency: 2, ExtraConcurrency: 4, Requests: 500, Bytes: 8 << 20, Patience: 1 << 30, Timeout: 1 << 32},
			})
			b.ReportAllocs()
			var crowd sync.WaitGroup
			before := usedCPU(b)
			for i := range callers {
				crowd.Go(func() {
					for range (b.N + i) / callers { // these add up to b.N
						if _, err := batcher.Do(b.Context(), i); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			crowd.Wait()
			b.ReportMetric(float64(usedCPU(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// usedCPU is the CPU time of this process.
func usedCPU(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
