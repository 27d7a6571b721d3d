// Package onelineerror joins errors for log lines and answers, which have one
// line.
package onelineerror

import (
	"errors"
	"strings"
)

// Join is errors.Join whose text is one line.
func Join(errs ...error) error {
	joined := errors.Join(errs...)
	if joined == nil {
		return nil
	}
	list := joined.(interface{ Unwrap() []error }).Unwrap()
	if len(list) == 1 {
		return list[0]
	}
	return &several{list}
}

type several struct{ errs []error }

func (s *several) Error() string {
	texts := make([]string, len(s.errs))
	for i, err := range s.errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (s *several) Unwrap() []error { return s.errs }
