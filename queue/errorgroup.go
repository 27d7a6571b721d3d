package queue

import (
	"regexp"
	"strings"
)

// Longest ErrorGroup and ErrorText, in bytes.
const (
	maxGroupBytes = 200
	maxTextBytes  = 500
)

// What differs from one failure to the next without being another failure.
var variable = regexp.MustCompile(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|"(?:[^"\\]|\\.)*"|'[^']*'|0x[0-9a-fA-F]+|\b[0-9a-fA-F]{16,}\b|\d+(?:[.:]\d+)*`)

// Group is a text that failures of the same kind have in common: the type and
// the first line of the message, with what is quoted, numbers and IDs left out.
func (e AttemptError) Group() string {
	message, _, _ := strings.Cut(e.Message, "\n")
	return cleanText(e.ExceptionClassPath+": "+variable.ReplaceAllString(message, "…"), maxGroupBytes)
}

// LastError returns the Group of the last of some errors, and its type and
// message, cut: what a store keeps beside them, for lists and searches. Both are
// empty if there is none.
func LastError(history []AttemptError) (group, text string) {
	if len(history) == 0 {
		return "", ""
	}
	last := history[len(history)-1]
	return last.Group(), cleanText(last.ExceptionClassPath+": "+last.Message, maxTextBytes)
}
