package scenario

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/claimcheck-go/claimcheck/bench/internal/system"
)

func TestScenariosNameSystemsThatExist(t *testing.T) {
	seen := make(map[string]bool)
	for _, sc := range All() {
		if seen[sc.Name] {
			t.Errorf("there are two scenarios %s", sc.Name)
		}
		seen[sc.Name] = true
		for _, name := range sc.Systems {
			if _, err := system.Named(name, sc.Server); err != nil {
				t.Errorf("%s: %v", sc.Name, err)
			}
		}
	}
}

// Systems fill their tables by thousands.
func TestRowsAreWholeThousands(t *testing.T) {
	for scale, want := range map[float64]int{1: 15_000, 0.3: 4_000, 0.05: 750, 0.001: 100} {
		if got := (Size{Scale: scale}).rows(15_000); got != want {
			t.Errorf("%v of 15,000 are %d rows, not %d", scale, got, want)
		}
	}
}

// counted is a system that counts what is stored in it.
type counted struct{ stored atomic.Int64 }

func (c *counted) Close(context.Context) error   { return nil }
func (c *counted) Enqueue(context.Context) error { c.stored.Add(1); return nil }

// DBOS, for one, runs whatever is there: what is not counted would be charged to
// what is.
func TestSlowSystemsFindNoMoreThanTheyDrain(t *testing.T) {
	for _, sc := range All() {
		if sc.Name != "drain-50k" {
			continue
		}
		for slow, want := range map[bool]int64{false: 50_000, true: 5_000} {
			c := &counted{}
			if err := sc.Prepare(t.Context(), c, Size{Scale: 1, Slow: slow}); err != nil || c.stored.Load() != want {
				t.Errorf("slow %t: %d tasks are stored, %v, want %d", slow, c.stored.Load(), err, want)
			}
		}
	}
}
