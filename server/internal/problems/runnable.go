package problems

import (
	"slices"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue"
)

// MatchesName reports whether a name is what [queue.Selection].Task selects: empty is any,
// and * any text.
func MatchesName(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if pattern == "" || len(parts) == 1 {
		return pattern == "" || pattern == name
	}
	name, found := strings.CutPrefix(name, parts[0])
	if !found {
		return false
	}
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(name, part)
		if !found {
			return false
		}
		name = after
	}
	return strings.HasSuffix(name, last)
}

// UnknownNames returns the names among failures that a selection may select and that are
// not registered, those with the most tasks first: retried, their tasks wait until a
// program that knows the name is deployed.
func UnknownNames(failures []queue.FailureGroup, pattern string, registered func(string) bool) (names []string) {
	count := make(map[string]int)
	for _, g := range failures {
		if registered(g.Task) || !MatchesName(pattern, g.Task) {
			continue
		}
		if count[g.Task] == 0 {
			names = append(names, g.Task)
		}
		count[g.Task] += g.Count
	}
	slices.SortStableFunc(names, func(a, b string) int { return count[b] - count[a] })
	return names
}
