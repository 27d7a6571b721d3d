package batch

import (
	"context"
	"sync"
	"testing/synctest"
	"time"
)

// harness is a Batcher whose batched statements end when the test says so. A request
// is a number, and its answer says how it was answered.
type harness struct {
	*Batcher[int, string]
	mu           sync.Mutex
	batches      [][]int
	undone       []int
	proceed      chan struct{} // a batched statement ends for each value
	stalledBelow int           // statements whose first request is below it wait for resume
	resume       chan struct{}
	fails        error
	affectsAll   bool // what AffectsAll reports of that error
	refuses      int  // the request that a batched statement does not serve
}

func newHarness() *harness {
	h := &harness{proceed: make(chan struct{}, 100), resume: make(chan struct{})}
	h.Batcher = New(Config[int, string]{
		Op:         "test",
		One:        func(context.Context, int) (string, error) { return "single", nil },
		Many:       h.many,
		Size:       func(n int) int { return n },
		AffectsAll: func(error) bool { return h.affectsAll },
		Undo: func(n int, _ string) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.undone = append(h.undone, n)
		},
		Limits: Limits{
			Concurrency: 1, ExtraConcurrency: 4,
			Requests: 500, Bytes: 8 << 20, Patience: time.Second, Timeout: time.Hour,
		},
	})
	return h
}

func (h *harness) many(_ context.Context, requests []int) ([]Result[string], error) {
	if requests[0] < h.stalledBelow {
		<-h.resume
	} else {
		<-h.proceed
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.batches = append(h.batches, requests)
	results := make([]Result[string], len(requests))
	for i, n := range requests {
		results[i] = Result[string]{Answer: "batched", Served: n != h.refuses}
	}
	return results, h.fails
}

// outcome is what a caller gets, once its request is answered.
type outcome struct {
	answer string
	err    error
}

// request starts a caller, and returns when it is answered or waits.
func (h *harness) request(ctx context.Context, n int) *outcome {
	o := &outcome{}
	go func() { o.answer, o.err = h.Do(ctx, n) }()
	synctest.Wait()
	return o
}

// end lets n batched statements end.
func (h *harness) end(n int) {
	for range n {
		h.proceed <- struct{}{}
	}
	synctest.Wait()
}

// stall lets the time pass after which a statement without an answer is stalled.
func (h *harness) stall() {
	time.Sleep(h.limits.Patience)
	synctest.Wait()
}

// queued returns the number of callers that wait for a statement to start.
func (h *harness) queued() int {
	h.Batcher.mu.Lock()
	defer h.Batcher.mu.Unlock()
	return len(h.waiting)
}
