package storekit

import (
	"errors"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Outage returns the error of a failure of the database itself, whose text is one
// line. kind is queue.ErrUnavailable, or one that says more.
func Outage(text string, kind, cause error) error { return &outage{text, kind, cause} }

type outage struct {
	text        string
	kind, cause error
}

func (e *outage) Error() string   { return e.text }
func (e *outage) Unwrap() []error { return []error{e.kind, e.cause} }

// NoEffect marks an error that is queue.ErrUnavailable as one after which nothing
// was changed; it returns others as they are.
func NoEffect(err error) error {
	if errors.Is(err, queue.ErrUnavailable) {
		return &noEffect{err}
	}
	return err
}

// noEffect is an error that also is queue.ErrNoEffect.
type noEffect struct{ error }

func (e *noEffect) Unwrap() []error { return []error{e.error, queue.ErrNoEffect} }

// OneLine is the text of an error in one line, as log lines and answers have it.
func OneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// JoinErrors is errors.Join whose text is one line.
func JoinErrors(errs ...error) error {
	joined := errors.Join(errs...)
	if joined == nil {
		return nil
	}
	list := joined.(interface{ Unwrap() []error }).Unwrap()
	if len(list) == 1 {
		return list[0]
	}
	return &joinedErrors{list}
}

type joinedErrors struct{ errs []error }

func (j *joinedErrors) Error() string {
	texts := make([]string, len(j.errs))
	for i, err := range j.errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (j *joinedErrors) Unwrap() []error { return j.errs }
