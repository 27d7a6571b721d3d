package problems_test

import (
	"slices"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/problems"
)

func TestNamesOfASelection(t *testing.T) {
	for pattern, want := range map[string]bool{
		"": true, "mail.send_all": true, "mail.send": false, "mail.*": true, "*": true, "*_all": true, "*send*": true, "m*l.*_a*l": true,
		"*x*": false, "mail.send_all*": true, "mail.send_all_*": false, "*l*l*l*l": false, "mail.send_*end_all": false,
	} {
		if got := problems.MatchesName(pattern, "mail.send_all"); got != want {
			t.Errorf("%q: %t", pattern, got)
		}
	}
}

func TestUnknownNamesOfFailures(t *testing.T) {
	failures := []queue.FailureGroup{{Task: "a.known", Count: 9}, {Task: "a.few", Count: 2}, {Task: "a.many", Count: 2}, {Task: "b.other", Count: 7}, {Task: "a.many", Count: 1}}
	got := problems.UnknownNames(failures, "a.*", func(name string) bool { return name == "a.known" })
	if !slices.Equal(got, []string{"a.many", "a.few"}) {
		t.Errorf("%v", got)
	}
}
