package pgstore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/claimcheck-go/claimcheck/queue"
)

// shop is a merger whose statements wait to be told how to end. A request is a
// number, and its answer the number in words.
type shop struct {
	merger[int, string]
	mu      sync.Mutex
	batches [][]int
	alone   []int
	undone  []int
	let     chan struct{} // a merged statement ends for each value
	mute    int           // but those of requests below this one are silent
	speak   chan struct{} // until this is closed
	fails   error
	refuses int // the request that a merged statement does not serve
}

func newShop(alone int) *shop {
	s := &shop{let: make(chan struct{}, 100), speak: make(chan struct{})}
	s.merger = merger[int, string]{
		op: "sell", limits: limits{alone, time.Second, time.Hour}, lanes: 1,
		size: func(n int) int { return n },
		one: func(_ context.Context, n int) (string, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.alone = append(s.alone, n)
			return "alone", nil
		},
		many: func(_ context.Context, all []int) ([]merged[string], error) {
			if all[0] < s.mute {
				<-s.speak
			} else {
				<-s.let
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.batches = append(s.batches, all)
			answers := make([]merged[string], len(all))
			for i, n := range all {
				answers[i] = merged[string]{answer: "together", served: n != s.refuses}
			}
			return answers, s.fails
		},
		undo: func(n int, _ string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.undone = append(s.undone, n)
		},
	}
	return s
}

// ask starts a caller; what it is told comes later.
func (s *shop) ask(ctx context.Context, n int) *told {
	t := &told{}
	go func() { t.answer, t.err = s.do(ctx, n) }()
	synctest.Wait() // for it to be served, or to wait
	return t
}

type told struct {
	answer string
	err    error
}

func TestMergerPutsTogetherWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(0)
		callers := []*told{s.ask(t.Context(), 1), s.ask(t.Context(), 2), s.ask(t.Context(), 3)}
		s.let <- struct{}{}
		s.let <- struct{}{}
		synctest.Wait()
		for i, c := range callers {
			if c.answer != "together" || c.err != nil {
				t.Errorf("caller %d: %+v", i, c)
			}
		}
		if len(s.batches) != 2 || !slices.Equal(s.batches[1], []int{2, 3}) {
			t.Errorf("statements for %v", s.batches)
		}
	})
}

func TestMergerHasSeveralStatementsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(0)
		s.lanes = 2
		callers := []*told{s.ask(t.Context(), 1), s.ask(t.Context(), 2), s.ask(t.Context(), 3), s.ask(t.Context(), 4)}
		for range 3 {
			s.let <- struct{}{}
		}
		synctest.Wait()
		for i, c := range callers {
			if c.answer != "together" {
				t.Errorf("caller %d: %+v", i, c)
			}
		}
		both := slices.ContainsFunc(s.batches, func(batch []int) bool { return slices.Equal(batch, []int{3, 4}) })
		if len(s.batches) != 3 || !both || s.flushing != 0 {
			t.Errorf("statements for %v, %d under way", s.batches, s.flushing)
		}
	})
}

func TestMergerLeavesFewCallersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(1)
		if c := s.ask(t.Context(), 1); c.answer != "alone" {
			t.Errorf("the only caller: %+v", c)
		}
	})
}

// A batch of runs ends nearly at once, call after call: the first ones would
// else all be alone.
func TestMergerLeavesOnlyTheFirstOfACrowdAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(3)
		alone := make(chan struct{})
		s.one = func(context.Context, int) (string, error) {
			<-alone
			return "alone", nil
		}
		answers := func(n int) (got []string) {
			var callers []*told
			for i := range n {
				callers = append(callers, s.ask(t.Context(), i))
			}
			for range n {
				s.let <- struct{}{}
			}
			synctest.Wait()
			close(alone)
			synctest.Wait()
			alone = make(chan struct{})
			for len(s.let) > 0 {
				<-s.let
			}
			for _, c := range callers {
				got = append(got, c.answer)
			}
			return got
		}
		if got := answers(2); !slices.Equal(got, []string{"alone", "alone"}) {
			t.Errorf("two: %v", got)
		}
		s.crowd = 3 // answered together before
		if got := answers(2); !slices.Equal(got, []string{"alone", "together"}) {
			t.Errorf("two after a crowd: %v", got)
		}
		if got := answers(2); !slices.Equal(got, []string{"alone", "alone"}) {
			t.Errorf("two after one: %v", got)
		}
	})
}

func TestMergerBoundsAStatement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(0)
		s.ask(t.Context(), 1)
		for _, size := range []int{chunkBytes - 1, 1, 1, 2 * chunkBytes, 5} {
			s.ask(t.Context(), size)
		}
		for range mergeLimit {
			s.ask(t.Context(), 0)
		}
		for range 6 {
			s.let <- struct{}{}
		}
		synctest.Wait()
		var lengths []int
		for _, batch := range s.batches {
			lengths = append(lengths, len(batch))
		}
		if want := []int{1, 2, 1, 1, mergeLimit, 1}; !slices.Equal(lengths, want) {
			t.Errorf("statements for %v; want %v", lengths, want)
		}
	})
}

func TestMergerLetsACallerGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(0)
		ctx, cancel := context.WithCancel(t.Context())
		underWay, other := s.ask(ctx, 1), s.ask(t.Context(), 2)
		waiting := s.ask(ctx, 3)
		cancel()
		synctest.Wait()
		for _, c := range []*told{underWay, waiting} {
			if !errors.Is(c.err, context.Canceled) || !strings.HasPrefix(c.err.Error(), "sell: ") {
				t.Errorf("a caller that has gone: %+v", c)
			}
		}
		s.let <- struct{}{}
		s.let <- struct{}{}
		synctest.Wait()
		if other.answer != "together" {
			t.Errorf("the caller that stayed: %+v", other)
		}
		if len(s.batches) != 2 || !slices.Equal(s.batches[1], []int{2}) {
			t.Errorf("statements for %v", s.batches)
		}
		if !slices.Equal(s.undone, []int{1}) {
			t.Errorf("undone: %v", s.undone)
		}
	})
}

func TestMergerDoesNothingForACallerThatHadGoneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(0)
		s.let <- struct{}{}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if c := s.ask(ctx, 1); !errors.Is(c.err, context.Canceled) || len(s.batches) != 0 {
			t.Errorf("%+v; statements for %v", c, s.batches)
		}
	})
}

func TestMergerKeepsErrorsApart(t *testing.T) {
	deadlock := &outage{"", queue.ErrContended, &pgconn.PgError{Code: "40P01"}}
	for name, c := range map[string]struct {
		fails error
		alone bool
	}{
		"one's own fault":  {errors.New("bad row"), true},
		"a deadlock":       {deadlock, true},
		"the database":     {&outage{"down", queue.ErrUnavailable, nil}, false},
		"no tables":        {queue.ErrSchema, false},
		"it never answers": {context.DeadlineExceeded, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(0)
				s.fails, s.refuses = c.fails, -1
				callers := []*told{s.ask(t.Context(), 1), s.ask(t.Context(), 2), s.ask(t.Context(), 3)}
				s.let <- struct{}{}
				s.let <- struct{}{}
				synctest.Wait()
				for _, caller := range callers {
					if alone := caller.answer == "alone" && caller.err == nil; alone != c.alone {
						t.Errorf("%+v", caller)
					}
					if !c.alone && !errors.Is(caller.err, queue.ErrUnavailable) && !errors.Is(caller.err, queue.ErrSchema) {
						t.Errorf("error %v", caller.err)
					}
				}
			})
		})
	}
}

func TestMergerSendsAloneWhatIsNotServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(0)
		s.refuses = 3
		s.ask(t.Context(), 1)
		two, three := s.ask(t.Context(), 2), s.ask(t.Context(), 3)
		s.let <- struct{}{}
		s.let <- struct{}{}
		synctest.Wait()
		if two.answer != "together" || three.answer != "alone" {
			t.Errorf("%+v, %+v", two, three)
		}
	})
}
