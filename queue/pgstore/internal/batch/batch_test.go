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
		h := newHarness()
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
		h := newHarness()
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

func TestACallerThatNeedNotWaitHasItsOwnStatement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness()
		h.limits.Single = true
		proceed := make(chan struct{})
		h.config.Try = func(context.Context, int) (Result[string], error) {
			<-proceed
			return Result[string]{Answer: "tried", Served: true}, nil
		}
		first, second, third := h.request(t.Context(), 1), h.request(t.Context(), 2), h.request(t.Context(), 3)
		if len(h.batches) != 0 || h.running != 1 || h.queued() != 2 {
			t.Errorf("%d statements running, %d requests wait", h.running, h.queued())
		}
		proceed <- struct{}{}
		h.end(1)
		if first.answer != "tried" || second.answer != "batched" || third.answer != "batched" || h.running != 0 {
			t.Errorf("%+v, %+v, %+v; %d statements running", first, second, third, h.running)
		}
	})
}

// One may wait for a lock, and others do not wait for it.
func TestAnAttemptThatServesNothingIsRepeatedByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness()
		h.limits.Single = true
		h.config.Try = func(context.Context, int) (Result[string], error) { return Result[string]{}, nil }
		unlock := make(chan struct{})
		h.config.One = func(context.Context, int) (string, error) {
			<-unlock
			return "single", nil
		}
		locked := h.request(t.Context(), 1)
		h.config.Try = func(context.Context, int) (Result[string], error) {
			return Result[string]{Answer: "tried", Served: true}, nil
		}
		if other := h.request(t.Context(), 2); other.answer != "tried" {
			t.Errorf("a caller after one that waits for a lock: %+v", other)
		}
		close(unlock)
		if synctest.Wait(); locked.answer != "single" || h.running != 0 {
			t.Errorf("%+v, %d statements running", locked, h.running)
		}
	})
}

func TestAStatementIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness()
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
		h := newHarness()
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
		h := newHarness()
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
				h := newHarness()
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
		h := newHarness()
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
		h := newHarness()
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
		"single":  {Single: true, Concurrency: 1 << 20},
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
