package batch

import (
	"context"
	"sync"
	"testing"
	"time"
)

// BenchmarkBurst is the cost of one request of a crowd that arrives within moments, as
// the ends of claimed tasks do.
func BenchmarkBurst(b *testing.B) {
	const crowd = 400
	limits := Limits{Concurrency: 1, ExtraConcurrency: 4, Requests: 500, Bytes: 8 << 20, Patience: time.Second, Timeout: 4 * time.Second}
	batcher := New(Config[int, int]{
		Size: func(int) int { return 100 },
		Many: func(_ context.Context, requests []int) ([]Result[int], error) {
			time.Sleep(50 * time.Microsecond)
			results := make([]Result[int], len(requests))
			for i, n := range requests {
				results[i] = Result[int]{Answer: n, Served: true}
			}
			return results, nil
		},
		Limits: limits,
	})
	b.Run("Do", func(b *testing.B) {
		b.ReportAllocs()
		for range (b.N + crowd - 1) / crowd {
			var all sync.WaitGroup
			for range crowd {
				all.Go(func() { _, _ = batcher.Do(b.Context(), 1) })
			}
			all.Wait()
		}
	})
	b.Run("Go", func(b *testing.B) {
		b.ReportAllocs()
		for range (b.N + crowd - 1) / crowd {
			var all sync.WaitGroup
			all.Add(crowd)
			for range crowd {
				batcher.Go(1, func(int, error) { all.Done() })
			}
			all.Wait()
		}
	})
}
