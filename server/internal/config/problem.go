package config

import (
	"fmt"
	"strings"
)

// Problem is what is wrong with one setting. As an error it is a usage error: exit
// status 2, and nothing is started. Several are joined with errors.Join.
type Problem struct {
	// Setting is the variable of a setting or the flag of a command, with its
	// dashes; empty if the problem concerns no single one.
	Setting string
	// Text says what is wrong, and what is accepted. It follows the name of the
	// setting as the rest of a sentence, or begins with a colon or an equals sign.
	Text string
	// Fix is what to do, if Text does not say it.
	Fix string
}

// Problemf returns a Problem without a Fix.
func Problemf(setting, format string, args ...any) error {
	return Problem{Setting: setting, Text: fmt.Sprintf(format, args...)}
}

// Error returns the whole text: "TASKS_LEASE must be at least 1s, not 10ms".
func (p Problem) Error() string {
	if p.Fix != "" {
		return p.Detail() + ": " + p.Fix
	}
	return p.Detail()
}

// Detail returns the text without the fix.
func (p Problem) Detail() string {
	switch {
	case p.Setting == "":
		return p.Text
	case strings.HasPrefix(p.Text, ":"), strings.HasPrefix(p.Text, "="):
		return p.Setting + p.Text
	}
	return p.Setting + " " + p.Text
}

// Problems returns the problems that err consists of. Errors in it that are none
// become problems of no setting.
func Problems(err error) []Problem {
	switch err := err.(type) {
	case nil:
		return nil
	case Problem:
		return []Problem{err}
	case interface{ Unwrap() []error }:
		var all []Problem
		for _, one := range err.Unwrap() {
			all = append(all, Problems(one)...)
		}
		return all
	case interface{ Unwrap() error }:
		if inner := err.Unwrap(); inner != nil && inner.Error() == err.(error).Error() {
			return Problems(inner)
		}
	}
	return []Problem{{Text: err.Error()}}
}
