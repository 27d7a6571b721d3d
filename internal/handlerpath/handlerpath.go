// Package handlerpath checks the path at which deliveries arrive: Cloud Tasks is
// given a URL with it, and the HTTP handler listens for it.
package handlerpath

import (
	"errors"
	"strings"
)

// Placeholder is where a task's ID goes.
const Placeholder = "{task_id}"

// Default is the path that is used unless another one is configured.
const Default = "/tasks/execute/" + Placeholder + "/"

// Check returns what is wrong with a path, in words that follow "it" or a name: "must …".
func Check(path string) error {
	switch {
	case strings.Count(path, Placeholder) != 1:
		return errors.New("must contain " + Placeholder + " once")
	case !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " ?#"):
		return errors.New("must begin with / and have no space, ? or #")
	case strings.Contains(path, "//"):
		return errors.New("must have no empty part (//)")
	}
	return nil
}
