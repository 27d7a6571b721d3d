package plainname_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/plainname"
)

func TestValidIsWhatTheExpressionSays(t *testing.T) {
	same := regexp.MustCompile(`\A[A-Za-z0-9_.-]{1,100}\z`)
	names := []string{"", "a", "Z", "0", "a.b_c-D9", strings.Repeat("x", 100), strings.Repeat("x", 101), "a b", "a/b", "a\n", "ä", "\xff", "@", "[", "`", "{", "/", ":"}
	for _, name := range names {
		if got := plainname.Valid(name, 100, "_.-"); got != same.MatchString(name) {
			t.Errorf("%q: %v", name, got)
		}
	}
	for name, valid := range map[string]bool{".": false, "..": false, "a/..": false, "a/./b": false, "../a": false, "...": true, "a..b": true, ".a/b.": true} {
		if got := plainname.Valid(name, 100, "_.-/"); got != valid {
			t.Errorf("%q: %v", name, got)
		}
	}
}
