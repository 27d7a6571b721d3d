package chaos

import (
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/chaos/tasks"
)

// correct is the state of a run with keys and schedules in which nothing is wrong: a and b
// hold one key in turn, c and d another one for a period each, and e to g are occurrences.
func correct() (state, map[string]uuid.UUID) {
	const second = 1_000_000
	ids := make(map[string]uuid.UUID)
	s := state{rows: make(map[uuid.UUID]stored), promises: make(map[uuid.UUID]promise)}
	add := func(name string, row stored) {
		id := uuid.New()
		ids[name] = id
		s.rows[id] = row
		s.entries = append(s.entries,
			entry{id: id.String(), status: [2]string{"", "READY"}},
			entry{id: id.String(), status: [2]string{"READY", "RUNNING"}, claim: [2]string{"", "x"}},
			entry{id: id.String(), status: [2]string{"RUNNING", "SUCCESSFUL"}})
	}
	for _, name := range []string{"a", "b"} {
		add(name, stored{task: tasks.Keyed.Name(), key: "unfinished-1"})
	}
	add("c", stored{task: tasks.Keyed.Name(), key: periodKey + "1", enqueued: 10 * second})
	add("d", stored{task: tasks.Keyed.Name(), key: periodKey + "1", enqueued: 10*second + keyPeriod.Microseconds()})
	for i, name := range []string{"e", "f", "g"} {
		at := int64(100+i) * second
		add(name, stored{task: tasks.Scheduled.Name(), schedule: everySecond, scheduledFor: at})
		s.occurrences = append(s.occurrences, occurrence{everySecond, at, ids[name], ""})
	}
	add("h", stored{task: tasks.Keyed.Name(), key: withKeyOf})
	s.occurrences = append(s.occurrences, occurrence{withKey, 100 * second, ids["h"], "key"})
	s.promises[uuid.New()] = promise{task: tasks.Keyed.Name(), key: "unfinished-1", met: ids["a"]}
	return s, ids
}

func TestVerdictsOfKeysAndSchedules(t *testing.T) {
	const second = 1_000_000
	swap := func(s *state, i, j int) { s.entries[i], s.entries[j] = s.entries[j], s.entries[i] }
	change := func(s *state, id uuid.UUID, change func(*stored)) { row := s.rows[id]; change(&row); s.rows[id] = row }
	for name, test := range map[string]struct {
		rule  string // empty: nothing is broken
		spoil func(s *state, ids map[string]uuid.UUID)
	}{
		"nothing": {"", func(*state, map[string]uuid.UUID) {}},
		"a row stored before the holder has ended": {ruleKey, func(s *state, _ map[string]uuid.UUID) { swap(s, 2, 3) }},
		"a row stored within a period": {ruleKey, func(s *state, ids map[string]uuid.UUID) {
			change(s, ids["d"], func(r *stored) { r.enqueued -= second })
		}},
		"an answer that names a row that is none":  {ruleMet, func(s *state, ids map[string]uuid.UUID) { delete(s.rows, ids["a"]) }},
		"an answer that names a row without a key": {ruleMet, func(s *state, ids map[string]uuid.UUID) { change(s, ids["a"], func(r *stored) { r.key = "" }) }},
		"an occurrence twice": {ruleOnce, func(s *state, ids map[string]uuid.UUID) {
			change(s, ids["f"], func(r *stored) { r.scheduledFor -= second })
		}},
		"a second without one":                                 {ruleEach, func(s *state, ids map[string]uuid.UUID) { delete(s.rows, ids["f"]) }},
		"the first second without one":                         {ruleEach, func(s *state, ids map[string]uuid.UUID) { delete(s.rows, ids["e"]) }},
		"the last second without one":                          {ruleEach, func(s *state, ids map[string]uuid.UUID) { delete(s.rows, ids["g"]) }},
		"an occurrence whose task does not exist":              {ruleOccurred, func(s *state, ids map[string]uuid.UUID) { delete(s.rows, ids["e"]) }},
		"an occurrence with the task of another":               {ruleOccurred, func(s *state, ids map[string]uuid.UUID) { s.occurrences[0].task = ids["g"] }},
		"an occurrence with a task of another key":             {ruleOccurred, func(s *state, ids map[string]uuid.UUID) { s.occurrences[3].task = ids["a"] }},
		"an occurrence that was not enqueued, and not skipped": {ruleOccurred, func(s *state, _ map[string]uuid.UUID) { s.occurrences[3].skipped = "" }},
		"an occurrence that was enqueued and skipped":          {ruleOccurred, func(s *state, _ map[string]uuid.UUID) { s.occurrences[0].skipped = "key" }},
		"an occurrence without a key, of another's":            {ruleOccurred, func(s *state, ids map[string]uuid.UUID) { s.occurrences[0].task = ids["h"] }},
	} {
		s, ids := correct()
		test.spoil(&s, ids)
		v := &verdict{run: &run{scheduled: 99 * second, ticked: 103*second - 1}}
		v.keys(s)
		v.occurrences(s)
		found := make(map[string]bool)
		for _, x := range v.violations {
			found[x.rule] = true
		}
		if test.rule == "" && len(found) > 0 || test.rule != "" && !found[test.rule] {
			t.Errorf("%s: want %q broken, have %v", name, test.rule, v.violations)
		}
	}
}
