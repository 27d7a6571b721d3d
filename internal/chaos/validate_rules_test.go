package chaos

import (
	"strings"
	"testing"
)

// history is the correct audit of one row: claimed, released, claimed again, retried, and
// successful.
func history() []entry {
	const second = 1_000_000
	change := func(at int64, from, to string, attempts, most [2]int, claims [2]string, lease [2]int64) entry {
		return entry{at: at, id: "a", task: "chaos.plain", status: [2]string{from, to}, attempts: attempts, claim: claims, lease: lease, maxAttempts: most[1]}
	}
	ten := [2]int{10, 10}
	all := []entry{
		change(0, "", "READY", [2]int{0, 0}, ten, [2]string{"", ""}, [2]int64{}),
		change(1*second, "READY", "RUNNING", [2]int{0, 1}, ten, [2]string{"", "c1"}, [2]int64{0, 3 * second}),
		change(2*second, "RUNNING", "READY", [2]int{1, 0}, ten, [2]string{"c1", "c1"}, [2]int64{3 * second, 0}),
		change(3*second, "READY", "RUNNING", [2]int{0, 1}, ten, [2]string{"c1", "c2"}, [2]int64{0, 5 * second}),
		change(4*second, "RUNNING", "READY", [2]int{1, 1}, ten, [2]string{"c2", "c2"}, [2]int64{5 * second, 0}),
		change(6*second, "READY", "RUNNING", [2]int{1, 2}, ten, [2]string{"c2", "c3"}, [2]int64{0, 8 * second}),
		change(9*second, "RUNNING", "RUNNING", [2]int{2, 3}, ten, [2]string{"c3", "c4"}, [2]int64{8 * second, 12 * second}),
		change(10*second, "RUNNING", "SUCCESSFUL", [2]int{3, 3}, ten, [2]string{"c4", "c4"}, [2]int64{12 * second, 0}),
	}
	all[2].interruptions = [2]int{0, 1}
	for i := 3; i < len(all); i++ {
		all[i].interruptions = [2]int{1, 1}
	}
	for i, workers := range []string{``, `["w1"]`, `[]`, `["w1"]`, `["w1"]`, `["w1","w2"]`, `["w1","w2","w3"]`, `["w1","w2","w3"]`} {
		all[i].workers = workers
	}
	all[4].failures = `[{"attempt":1,"message":"attempt 1 failed in w1"}]`
	all[7].value = `{"attempt":3,"worker":"w3"}`
	return all
}

func TestValidateAcceptsACorrectHistory(t *testing.T) {
	for _, v := range validate(history()) {
		t.Errorf("%+v", v)
	}
}

func TestValidateFindsEachBrokenRule(t *testing.T) {
	for name, test := range map[string]struct {
		rule   string
		change func([]entry) []entry
	}{
		"a row that begins RUNNING":       {ruleLegal, func(h []entry) []entry { return h[1:] }},
		"a transition that is missing":    {ruleGapless, func(h []entry) []entry { return append(h[:2:2], h[3:]...) }},
		"a change after the end":          {ruleFinal, func(h []entry) []entry { e := h[7]; e.status = [2]string{"SUCCESSFUL", "READY"}; return append(h, e) }},
		"a second finish":                 {ruleFinal, func(h []entry) []entry { e := h[7]; e.status[0] = "SUCCESSFUL"; return append(h, e) }},
		"a claim that costs two attempts": {ruleAttempts, func(h []entry) []entry { h[1].attempts[1] = 2; return h }},
		"a claim that costs none":         {ruleAttempts, func(h []entry) []entry { h[1].attempts[1] = 0; return h }},
		"more attempts than there are":    {ruleAttempts, func(h []entry) []entry { h[6].maxAttempts = 2; return h }},
		"a retry that refunds two":        {ruleAttempts, func(h []entry) []entry { h[4].attempts[1] = -1; return h }},
		"a claim ID for the second time":  {ruleFresh, func(h []entry) []entry { h[5].claim[1] = "c1"; return h }},
		"a claim under a live lease":      {ruleLease, func(h []entry) []entry { h[6].at = 7_000_000; return h }},
		"a live claim reclaimed":          {ruleLease, func(h []entry) []entry { h[4].claim[1] = ""; return h }},
		"a claim before its time":         {ruleDue, func(h []entry) []entry { h[1].runAfter = 60_000_000; return h }},
		"the result of another attempt":   {ruleFence, func(h []entry) []entry { h[7].value = `{"attempt":2,"worker":"w3"}`; return h }},
		"the result of another worker":    {ruleFence, func(h []entry) []entry { h[7].value = `{"attempt":3,"worker":"w2"}`; return h }},
		"the failure of another attempt":  {ruleFence, func(h []entry) []entry { h[4].failures = `[{"attempt":2,"message":""}]`; return h }},
		"the failure of another worker":   {ruleFence, func(h []entry) []entry { h[4].failures = strings.Replace(h[4].failures, "w1", "w9", 1); return h }},
		"a cancelled row with a claim":    {ruleFence, func(h []entry) []entry { h[7].status[1] = "CANCELLED"; return h }},
		"a READY row that changes":        {ruleLegal, func(h []entry) []entry { e := h[4]; e.status[0] = "READY"; return append(h[:5:5], e) }},
		"FAILED without a claim":          {ruleLegal, func(h []entry) []entry { h[1].status[1] = "FAILED"; return h }},
	} {
		found := make(map[string]bool)
		for _, v := range validate(test.change(history())) {
			found[v.rule] = true
		}
		if !found[test.rule] {
			t.Errorf("%s does not break %q; broken: %v", name, test.rule, found)
		}
	}
}
