package batch

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

func TestWaitingRequestsShareAStatement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(0)
		callers := []*outcome{h.request(t.Context(), 1), h.request(t.Context(), 2), h.request(t.Context(), 3)}
		h.end(2)
		for i, c := range callers {
			if c.answer != "batched" || c.err != nil {
				t.Errorf("caller %d: %+v", i, c)
			}
		}
		if len(h.batches) != 2 || !slices.Equal(h.batches[1], []int{2, 3}) {
			t.Errorf("statements for %v", h.batches)
		}
	})
}

func TestSeveralStatementsRunAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(0)
		h.limits.Concurrency = 2
		callers := []*outcome{h.request(t.Context(), 1), h.request(t.Context(), 2), h.request(t.Context(), 3), h.request(t.Context(), 4)}
		h.end(3)
		for i, c := range callers {
			if c.answer != "batched" {
				t.Errorf("caller %d: %+v", i, c)
			}
		}
		both := slices.ContainsFunc(h.batches, func(batch []int) bool { return slices.Equal(batch, []int{3, 4}) })
		if len(h.batches) != 3 || !both || h.running != 0 {
			t.Errorf("statements for %v, %d running", h.batches, h.running)
		}
	})
}

func TestFewCallersHaveStatementsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(1)
		if c := h.request(t.Context(), 1); c.answer != "single" {
			t.Errorf("the only caller: %+v", c)
		}
	})
}

// A batch of runs ends nearly at once, call after call. Without this rule the first
// callers of each group would have statements of their own.
func TestAfterALargeBatchOnlyACallerThatIsAloneHasItsOwnStatement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(3)
		single := make(chan struct{})
		h.config.One = func(context.Context, int) (string, error) {
			<-single
			return "single", nil
		}
		answers := func(n int) (got []string) {
			var callers []*outcome
			for i := range n {
				callers = append(callers, h.request(t.Context(), i))
			}
			h.end(n)
			close(single)
			synctest.Wait()
			single = make(chan struct{})
			for len(h.proceed) > 0 {
				<-h.proceed
			}
			for _, c := range callers {
				got = append(got, c.answer)
			}
			return got
		}
		if got := answers(2); !slices.Equal(got, []string{"single", "single"}) {
			t.Errorf("two: %v", got)
		}
		h.lastBatch = 3
		if got := answers(2); !slices.Equal(got, []string{"single", "batched"}) {
			t.Errorf("two after a batch of three: %v", got)
		}
		if got := answers(2); !slices.Equal(got, []string{"single", "single"}) {
			t.Errorf("two after a batch of one: %v", got)
		}
	})
}

func TestAStatementIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(0)
		most, bytes := h.limits.Requests, h.limits.Bytes
		h.request(t.Context(), 1)
		for _, size := range []int{bytes - 1, 1, 1, 2 * bytes, 5} {
			h.request(t.Context(), size)
		}
		for range most {
			h.request(t.Context(), 0)
		}
		h.end(6)
		var lengths []int
		for _, batch := range h.batches {
			lengths = append(lengths, len(batch))
		}
		if want := []int{1, 2, 1, 1, most, 1}; !slices.Equal(lengths, want) {
			t.Errorf("statements for %v; want %v", lengths, want)
		}
	})
}

func TestACallerMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(0)
		ctx, cancel := context.WithCancel(t.Context())
		running, other := h.request(ctx, 1), h.request(t.Context(), 2)
		waiting := h.request(ctx, 3)
		cancel()
		synctest.Wait()
		for _, c := range []*outcome{running, waiting} {
			if !errors.Is(c.err, context.Canceled) || !strings.HasPrefix(c.err.Error(), "test: ") {
				t.Errorf("a caller that has left: %+v", c)
			}
		}
		h.end(2)
		if other.answer != "batched" {
			t.Errorf("the caller that stayed: %+v", other)
		}
		if len(h.batches) != 2 || !slices.Equal(h.batches[1], []int{2}) {
			t.Errorf("statements for %v", h.batches)
		}
		if !slices.Equal(h.undone, []int{1}) {
			t.Errorf("undone: %v", h.undone)
		}
	})
}

func TestACallerWhoseContextHadEndedIsNotServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(0)
		h.proceed <- struct{}{}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if c := h.request(ctx, 1); !errors.Is(c.err, context.Canceled) || len(h.batches) != 0 {
			t.Errorf("%+v; statements for %v", c, h.batches)
		}
	})
}

func TestAnErrorReachesAllCallersOnlyIfItAffectsAll(t *testing.T) {
	for name, affectsAll := range map[string]bool{"an error of one request": false, "an error that affects all": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(0)
				h.fails, h.affectsAll, h.refuses = errors.New("failed"), affectsAll, -1
				callers := []*outcome{h.request(t.Context(), 1), h.request(t.Context(), 2), h.request(t.Context(), 3)}
				h.end(2)
				want := outcome{answer: "single"}
				if affectsAll {
					want = outcome{err: h.fails}
				}
				for i, c := range callers {
					if *c != want {
						t.Errorf("caller %d: %+v; want %+v", i, *c, want)
					}
				}
			})
		})
	}
}

// The batch may have taken effect although it failed: the answer may be what was lost.
func TestARequestOfAFailedBatchIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(0)
		h.config.Repeat = func(context.Context, int) (string, error) { return "repeated", nil }
		h.fails = errors.New("answer lost")
		failed := h.request(t.Context(), 1)
		h.end(1)
		h.fails, h.refuses = nil, 2
		refused := h.request(t.Context(), 2)
		h.end(1)
		if failed.answer != "repeated" || refused.answer != "single" {
			t.Errorf("of a failed batch: %+v; not served: %+v", failed, refused)
		}
	})
}

func TestARequestThatWasNotServedGetsItsOwnStatement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(0)
		h.refuses = 3
		h.request(t.Context(), 1)
		two, three := h.request(t.Context(), 2), h.request(t.Context(), 3)
		h.end(2)
		if two.answer != "batched" || three.answer != "single" {
			t.Errorf("%+v, %+v", two, three)
		}
	})
}

func BenchmarkBatcher(b *testing.B) {
	for name, limits := range map[string]Limits{
		"single":  {Single: 1 << 20},
		"batched": {Concurrency: 2, ExtraConcurrency: 4, Requests: 500, Bytes: 8 << 20, Patience: 1 << 30, Timeout: 1 << 32},
	} {
		b.Run(name, func(b *testing.B) {
			batcher := New(Config[int, int]{
				Size: func(int) int { return 100 },
				One:  func(_ context.Context, n int) (int, error) { return n, nil },
				Many: func(_ context.Context, requests []int) ([]Result[int], error) {
					results := make([]Result[int], len(requests))
					for i, n := range requests {
						results[i] = Result[int]{Answer: n, Served: true}
					}
					return results, nil
				},
				Limits: limits,
			})
			b.SetParallelism(32)
			b.ReportAllocs()
			b.RunParallel(func(each *testing.PB) {
				for each.Next() {
					if _, err := batcher.Do(b.Context(), 1); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
