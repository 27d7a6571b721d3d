package httpapi

import (
	"fmt"
	"strings"

	"github.com/claimcheck-go/claimcheck/internal/handlerpath"
)

// CheckExecutePath returns why a path cannot be [Config].ExecutePath, so that a
// program can check its settings before it opens a database. That path is matched
// before all others, but for that of the list: one that fits another route's pattern would
// take its requests.
func CheckExecutePath(path string) error {
	const such = "such as " + handlerpath.Default
	if err := handlerpath.Check(path); err != nil {
		return fmt.Errorf("%w, not be %.200q: it takes a path %s", err, path, such)
	}
	for _, r := range routes {
		if r.name != "execute" && r.name != "list" && overlap(path, r.pattern()) {
			return fmt.Errorf("must not be %.200q, which takes requests for %s: it takes a path that no other route has, %s", path, r.pattern(), such)
		}
	}
	return nil
}

// overlap reports whether one path can fit both the path of the execute endpoint
// and the pattern of a route, part by part.
func overlap(executePath, pattern string) bool {
	ours, theirs := strings.Split(strings.Trim(executePath, "/"), "/"), strings.Split(strings.Trim(pattern, "/"), "/")
	if len(ours) != len(theirs) {
		return false
	}
	for i, part := range ours {
		before, after, isID := strings.Cut(part, handlerpath.Placeholder)
		literal := theirs[i]
		switch {
		case strings.HasPrefix(literal, "{"): // fits anything
		case !isID && part != literal:
			return false
		case isID && (len(literal) <= len(before)+len(after) || !strings.HasPrefix(literal, before) || !strings.HasSuffix(literal, after)):
			return false
		}
	}
	return true
}
