package system

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// Every caller gets its own answer, alone or together with others.
func TestMergerAnswersEachCaller(t *testing.T) {
	var mu sync.Mutex
	largest := 0
	m := &merger[int, int]{
		one: func(_ context.Context, n int) (int, error) {
			time.Sleep(time.Millisecond) // so that others come meanwhile
			return -n, nil
		},
		many: func(_ context.Context, all []int) ([]int, error) {
			time.Sleep(time.Millisecond)
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
			for range 5 {
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
	for idle := false; !idle; time.Sleep(time.Millisecond) { // the last flush ends after its callers
		m.mu.Lock()
		idle = m.underWay == 0 && !m.flushing && len(m.waiting) == 0
		m.mu.Unlock()
	}
}

func TestMergerReturnsItsErrorToAll(t *testing.T) {
	broken := errors.New("broken")
	m := &merger[int, int]{many: func(context.Context, []int) ([]int, error) { return nil, broken }}
	m.underWay = plain // so that no request is sent alone
	if _, err := m.do(t.Context(), 1); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
