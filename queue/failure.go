package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"time"
)

// Discard marks err as permanent: the task becomes FAILED at once, whatever
// attempts are left.
func Discard(err error) error {
	if err == nil {
		err = errors.New("discarded")
	}
	return &discardError{err}
}

// Cancel makes the task CANCELLED: it turned out that it is not wanted any more.
// err, which is kept on the row, says why.
func Cancel(err error) error {
	if err == nil {
		err = errors.New("cancelled by the task")
	}
	return &cancelError{err}
}

// RetryAt makes a failed attempt be tried again at t, not before, instead of
// after the usual backoff. The attempt counts.
func RetryAt(t time.Time, err error) error {
	if err == nil {
		err = errors.New("to be tried again")
	}
	return &rescheduleError{err: err, at: t}
}

// Snooze makes the task run again after d, without keeping an error and without
// counting this attempt.
func Snooze(d time.Duration) error {
	return &rescheduleError{err: fmt.Errorf("snoozed for %s", d), in: max(d, 0), snooze: true}
}

type discardError struct{ error }

func (e *discardError) Unwrap() error { return e.error }

type cancelError struct{ error }

func (e *cancelError) Unwrap() error { return e.error }

type rescheduleError struct {
	err    error
	at     time.Time
	in     time.Duration // snooze
	snooze bool
}

func (e *rescheduleError) Error() string { return e.err.Error() }
func (e *rescheduleError) Unwrap() error { return e.err }

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

// Exponential is a function for Backoff: first, doubled after each attempt,
// longest at most, and up to a tenth more, so that what failed together does not
// return together.
func Exponential(first, longest time.Duration) func(attempt int) time.Duration {
	first = max(first, 0)
	return func(attempt int) time.Duration {
		d := first
		for ; attempt > 1 && d < longest; attempt-- {
			d *= 2
		}
		d = min(d, longest)
		return d + rand.N(max(d/10, 1))
	}
}

// backoff is how long a plain retry waits after the given attempt, where no
// queue has a backoff of its own: 1 s, doubled each time, 5 minutes at most,
// and up to a tenth more so that what failed together does not return together.
var backoff = Exponential(time.Second, LongestBackoff)

// failure is an error with all that the executor asks of it, so that nothing
// later calls the methods of an error that a task made. It is the Run's Err;
// what it unwraps to is the error itself.
type failure struct {
	err          error
	text         string
	class        string // type of the error that says most
	trace        string // stack, or the wrapped chain
	discard      bool
	cancel       bool
	reschedule   *rescheduleError // the task asked for its own next time
	contextEnded bool             // it says that its context has ended
	panicked     bool
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.err }

// judge asks err everything. It may panic, if a method of err does.
func classify(err error) *failure {
	f := &failure{err: err, contextEnded: errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)}
	f.text, f.class = cleanText(err.Error(), maxMessageBytes), cleanText(typeName(err), 200)
	var discard *discardError
	f.discard = errors.As(err, &discard)
	var cancel *cancelError
	f.cancel = errors.As(err, &cancel)
	errors.As(err, &f.reschedule)
	if p, ok := err.(*PanicError); ok {
		f.panicked, f.trace = true, cleanText(string(p.Stack), maxTracebackBytes)
		return f
	}
	var chain strings.Builder
	writeChain(&chain, err)
	f.trace = cleanText(chain.String(), maxTracebackBytes)
	return f
}

// timedOut is the failure of a function that returned f once its time was over.
func timedOut(after time.Duration, f *failure) *failure {
	err := &TimeoutError{Timeout: after, Err: f.err}
	return &failure{err: err, text: err.Error(), class: "*queue.TimeoutError", trace: cleanText("*queue.TimeoutError: "+err.Error()+"\n"+f.trace, maxTracebackBytes)}
}

// notReturned is the failure of a function that goes on though its time is over.
func notReturned(after time.Duration) *failure {
	f := classify(&TimeoutError{Timeout: after})
	f.text += "; the function did not return"
	f.trace = "*queue.TimeoutError: " + f.text
	return f
}

func (f *failure) snoozed() bool { return f.reschedule != nil && f.reschedule.snooze }

// record is the failure of a row's attempt as the row keeps it.
func (f *failure) record(row *Row, at time.Time) AttemptError {
	return AttemptError{
		ExceptionClassPath: f.class, Message: f.text, Traceback: f.trace,
		Attempt: row.Attempts, At: at.UTC().Truncate(time.Microsecond),
		StartedAt: row.LastAttemptedAt, WorkerID: row.worker(),
	}
}

// plain takes this package's own marks off an error.
func withoutMarks(err error) error {
	for {
		switch e := err.(type) {
		case *discardError:
			err = e.error
		case *cancelError:
			err = e.error
		case *invalidError:
			err = e.error
		case *rescheduleError:
			err = e.err
		default:
			return err
		}
	}
}

// class is the type of the error that says most: the first below fmt's wrappers.
func typeName(err error) string {
	for {
		err = withoutMarks(err)
		name, inner := reflect.TypeOf(err).String(), errors.Unwrap(err)
		if name != "*fmt.wrapError" || inner == nil {
			return name
		}
		err = inner
	}
}

// writeChain writes err and what it wraps, one error a line.
func writeChain(b *strings.Builder, err error) {
	err = withoutMarks(err)
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
