package queue

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"time"
)

// Discard marks err as permanent: the task becomes FAILED at once, whatever
// attempts are left.
func Discard(err error) error { return &discardError{err} }

// RetryAt makes a failed attempt be tried again at t, not before, instead of
// after the usual backoff. The attempt counts.
func RetryAt(t time.Time, err error) error { return &rescheduleError{err: err, at: t} }

// Snooze makes the task run again after d, without an error and without
// counting this attempt.
func Snooze(d time.Duration) error { return &rescheduleError{in: d} }

type discardError struct{ error }

func (e *discardError) Unwrap() error { return e.error }

type rescheduleError struct {
	err error // nil for Snooze
	at  time.Time
	in  time.Duration
}

func (e *rescheduleError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("snoozed for %s", e.in)
	}
	return e.err.Error()
}

func (e *rescheduleError) Unwrap() error { return e.err }

func snoozed(err error) bool {
	var e *rescheduleError
	return errors.As(err, &e) && e.err == nil
}

// TimeoutError is the failure of an attempt that ran into its time limit.
type TimeoutError struct {
	Timeout time.Duration
	Err     error // what the function returned
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("task timed out after %s (queue.Timeout)", e.Timeout)
}

// Unwrap returns what the function returned.
func (e *TimeoutError) Unwrap() error { return e.Err }

// PanicError is the failure of an attempt that panicked, or ended its goroutine
// with runtime.Goexit.
type PanicError struct {
	Value any // what was given to panic
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the panic's value when that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// backoff is how long a plain retry waits after the given attempt, where no
// queue has a backoff of its own: 1 s, doubled each time, 5 minutes at most,
// and up to a tenth more so that what failed together does not return together.
func backoff(attempt int) time.Duration {
	d := LongestBackoff
	if attempt < 10 {
		d = min(d, time.Second<<(attempt-1))
	}
	return d + rand.N(d/10)
}

// record is err as the row keeps it.
func record(err error, attempt int, at time.Time) AttemptError {
	var p *PanicError
	var traceback strings.Builder
	if errors.As(err, &p) {
		traceback.Write(p.Stack)
	} else {
		writeChain(&traceback, err)
	}
	return AttemptError{
		ExceptionClassPath: cleanText(class(err), 200),
		Message:            cleanText(err.Error(), maxMessageBytes),
		Traceback:          cleanText(traceback.String(), maxTracebackBytes),
		Attempt:            attempt,
		At:                 at.UTC().Truncate(time.Microsecond),
	}
}

// plain takes this package's own marks off an error.
func plain(err error) error {
	for {
		switch e := err.(type) {
		case *discardError:
			err = e.error
		case *invalidError:
			err = e.error
		case *rescheduleError:
			if e.err == nil {
				return err
			}
			err = e.err
		default:
			return err
		}
	}
}

// class is the type of the error that says most: the first below fmt's wrappers.
func class(err error) string {
	for {
		err = plain(err)
		name, inner := reflect.TypeOf(err).String(), errors.Unwrap(err)
		if name != "*fmt.wrapError" || inner == nil {
			return name
		}
		err = inner
	}
}

// writeChain writes err and what it wraps, one error a line.
func writeChain(b *strings.Builder, err error) {
	err = plain(err)
	fmt.Fprintf(b, "%T: %v\n", err, err)
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			writeChain(b, inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			writeChain(b, inner)
		}
	}
}
