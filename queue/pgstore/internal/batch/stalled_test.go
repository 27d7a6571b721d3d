package batch

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestOthersDoNotWaitForAStalledStatement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness()
		h.stalledBelow = 2
		first, second := h.request(t.Context(), 1), h.request(t.Context(), 2)
		h.proceed <- struct{}{}
		if synctest.Wait(); h.queued() != 1 {
			t.Error("served before the statement counted as stalled")
		}
		if h.stall(); second.answer != "batched" {
			t.Errorf("a caller that waited: %+v", second)
		}
		third := h.request(t.Context(), 3)
		if h.end(1); third.answer != "batched" {
			t.Errorf("a caller that came later: %+v", third)
		}
		if h.stalled != 1 {
			t.Errorf("%d stalled statements", h.stalled)
		}
		close(h.resume)
		synctest.Wait()
		if first.answer != "batched" || h.stalled != 0 || h.running != 0 {
			t.Errorf("after the statement has ended: %+v, %d stalled, %d running", first, h.stalled, h.running)
		}
	})
}

func TestConcurrencyIsAsBeforeOnceAStalledStatementHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness()
		h.stalledBelow = 2
		h.request(t.Context(), 1)
		h.stall()
		for n := range 3 { // one of them starts at once
			h.request(t.Context(), 2+n)
		}
		close(h.resume)
		synctest.Wait()
		if h.running != 1 {
			t.Errorf("%d statements running", h.running)
		}
		h.end(2)
		if len(h.batches) != 3 || !slices.Equal(h.batches[2], []int{3, 4}) || h.running != 0 {
			t.Errorf("statements for %v, %d running", h.batches, h.running)
		}
	})
}

func TestEachCallerHasItsOwnStatementWhenAllBatchesAreStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness()
		extra := h.limits.ExtraConcurrency
		h.stalledBelow = 2 + extra
		var stalled []*outcome
		for n := range 1 + extra {
			h.stall()
			stalled = append(stalled, h.request(t.Context(), 1+n))
		}
		waiting := h.request(t.Context(), 100)
		if h.queued() != 1 {
			t.Error("served before the last statement counted as stalled")
		}
		h.stall()
		if later := h.request(t.Context(), 101); waiting.answer != "single" || later.answer != "single" {
			t.Errorf("%+v, %+v", waiting, later)
		}
		close(h.resume)
		synctest.Wait()
		for i, c := range stalled {
			if c.answer != "batched" {
				t.Errorf("stalled caller %d: %+v", i, c)
			}
		}
		again := h.request(t.Context(), 102)
		if h.end(1); again.answer != "batched" || h.stalled != 0 || h.running != 0 {
			t.Errorf("after the statements have ended: %+v, %d stalled, %d running", again, h.stalled, h.running)
		}
	})
}

func TestAStatementWithoutAnAnswerTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness()
		h.config.Many = func(ctx context.Context, _ []int) ([]Result[string], error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		began := time.Now()
		if answer, err := h.Do(t.Context(), 1); answer != "single" || err != nil || time.Since(began) != h.limits.Timeout {
			t.Errorf("%s, %v after %s", answer, err, time.Since(began))
		}
	})
}
