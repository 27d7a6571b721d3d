package batch

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// start passes a request to Go, and returns when it is answered or waits.
func (h *harness) start(n int) *outcome {
	o := &outcome{}
	h.Go(n, func(answer string, err error) { o.answer, o.err = answer, err })
	synctest.Wait()
	return o
}

func TestGoSharesStatementsWithCallersOfDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness() // as the only caller, a caller of Do would have its own statement
		started := []*outcome{h.start(1), h.start(2), h.start(3)}
		waited := h.request(t.Context(), 4)
		if *started[0] != (outcome{}) {
			t.Errorf("answered before its statement has ended: %+v", started[0])
		}
		h.end(2)
		for i, c := range append(started, waited) {
			if c.answer != "batched" || c.err != nil {
				t.Errorf("request %d: %+v", i+1, c)
			}
		}
		if len(h.batches) != 2 || !slices.Equal(h.batches[1], []int{2, 3, 4}) {
			t.Errorf("statements for %v", h.batches)
		}
	})
}

func TestGoUsesAStatementOfItsOwnForWhatABatchDidNotServe(t *testing.T) {
	down := errors.New("failed")
	for name, tc := range map[string]struct {
		fails      error
		affectsAll bool
		refuses    int
		want       outcome
	}{
		"not served":                   {nil, false, 2, outcome{answer: "single"}},
		"an error of one request":      {down, false, 0, outcome{answer: "repeated"}},
		"an error that affects all":    {down, true, 0, outcome{err: down}},
		"served, although others fail": {nil, false, 3, outcome{answer: "batched"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness()
				h.fails, h.affectsAll, h.refuses = tc.fails, tc.affectsAll, tc.refuses
				h.config.Repeat = func(context.Context, int) (string, error) { return "repeated", nil }
				o := h.start(2)
				h.end(1)
				if *o != tc.want {
					t.Errorf("%+v; want %+v", *o, tc.want)
				}
			})
		})
	}
}

func TestGoDoesNotWaitForAStatementOfItsOwnForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness()
		h.refuses = 2
		h.config.One = func(ctx context.Context, _ int) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}
		refused, other := h.start(2), h.start(3)
		h.end(2)
		if other.answer != "batched" {
			t.Errorf("a request beside one without an answer: %+v", other)
		}
		time.Sleep(h.limits.Timeout)
		synctest.Wait()
		if !errors.Is(refused.err, context.DeadlineExceeded) {
			t.Errorf("%+v", refused)
		}
	})
}

func TestGoDoesNotWaitForStalledStatements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness()
		extra := h.limits.ExtraConcurrency
		h.stalledBelow = 2 + extra
		for n := range 1 + extra {
			h.start(1 + n)
			h.stall()
		}
		if o := h.start(100); o.answer != "single" {
			t.Errorf("%+v", o)
		}
		close(h.resume)
		synctest.Wait()
		if h.running != 0 || h.stalled != 0 {
			t.Errorf("%d running, %d stalled", h.running, h.stalled)
		}
	})
}
