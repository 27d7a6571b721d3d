package scenario

import (
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
