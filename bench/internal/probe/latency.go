package probe

import (
	"slices"
	"sync"
	"time"
)

// Latencies collects times of single calls. It is safe for concurrent use.
type Latencies struct {
	mu    sync.Mutex
	times []time.Duration
}

// Add records times.
func (l *Latencies) Add(times ...time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.times = append(l.times, times...)
}

// Into writes the median and the 99th percentile in milliseconds under names
// with this prefix, if anything was recorded.
func (l *Latencies) Into(f Metrics, prefix string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.times) == 0 {
		return
	}
	slices.Sort(l.times)
	at := func(share float64) float64 {
		return micros(l.times[int(share*float64(len(l.times)-1))]) / 1000
	}
	f[prefix+"p50_ms"], f[prefix+"p99_ms"] = at(0.50), at(0.99)
}
