package system

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// Every caller gets its own answer, alone or together with others.
func TestMergerAnswersEachCaller(t *testing.T) {
	var mu sync.Mutex
	largest := 0
	m := &merger[int, int]{
		one: func(_ context.Context, n int) (int, error) { return -n, nil },
		many: func(_ context.Context, all []int) ([]int, error) {
			mu.Lock()
			defer mu.Unlock()
			largest = max(largest, len(all))
			answers := make([]int, len(all))
			for i, n := range all {
				answers[i] = -n
			}
			return answers, nil
		},
	}
	var group sync.WaitGroup
	for n := range 200 {
		group.Go(func() {
			for range 100 {
				if got, err := m.do(t.Context(), n); got != -n || err != nil {
					t.Errorf("caller %d got %d, %v", n, got, err)
					return
				}
			}
		})
	}
	group.Wait()
	if largest < 2 {
		t.Error("nothing was merged")
	}
	if m.underWay != 0 || m.flushing || len(m.waiting) != 0 {
		t.Errorf("something is left: %d under way, flushing %v, %d waiting", m.underWay, m.flushing, len(m.waiting))
	}
}

func TestMergerTellsItsErrorToAll(t *testing.T) {
	broken := errors.New("broken")
	m := &merger[int, int]{many: func(context.Context, []int) ([]int, error) { return nil, broken }}
	m.underWay = plain // so that nobody goes alone
	if _, err := m.do(t.Context(), 1); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
