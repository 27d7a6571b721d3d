package httpapi

import (
	"errors"
	"fmt"
	"strings"
)

// taskIDPlaceholder stands for a task's ID in Config.ExecutePath and in patterns
// of routes.
const taskIDPlaceholder = "{task_id}"

// CheckExecutePath says why a path cannot be Config.ExecutePath, so that a
// program can judge its settings before it opens anything. Deliveries are looked
// for there first: under the pattern of another route they would take its
// requests.
func CheckExecutePath(path string) error {
	const such = "such as /tasks/execute/{task_id}/"
	switch {
	case strings.Count(path, taskIDPlaceholder) != 1:
		return fmt.Errorf("must contain {task_id} once, not be %.200q: it takes a path %s", path, such)
	case !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " ?#"):
		return fmt.Errorf("must begin with / and have no space, ? or #, not be %.200q: it takes a path %s", path, such)
	case strings.Contains(path, "//"):
		return errors.New("must have no empty part (//): it takes a path " + such)
	}
	for _, r := range routes {
		if r.name != "execute" && overlap(path, r.pattern()) {
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
		before, after, isID := strings.Cut(part, taskIDPlaceholder)
		literal := theirs[i]
		switch {
		case literal == taskIDPlaceholder:
		case !isID && part != literal:
			return false
		case isID && (len(literal) <= len(before)+len(after) || !strings.HasPrefix(literal, before) || !strings.HasSuffix(literal, after)):
			return false
		}
	}
	return true
}
