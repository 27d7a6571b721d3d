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

// Discard marks err as permanent: a task that returns it becomes FAILED at once,
// whatever attempts are left. A nil err gets a text of its own.
func Discard(err error) error {
	if err == nil {
		err = errors.New("discarded")
	}
	return &discardError{err}
}

// Cancel makes a task that returns it CANCELLED: it is not wanted any more. err,
// which is kept on the row, says why; nil gets a text of its own.
func Cancel(err error) error {
	if err == nil {
		err = errors.New("cancelled by the task")
	}
	return &cancelError{err}
}

// RetryAt makes a task that returns it run again at t, not before, instead of after
// its backoff. The attempt counts and err is kept on the row; where it was the last
// one, the task is FAILED. t is kept within the years 1970 to 9999.
func RetryAt(t time.Time, err error) error {
	if err == nil {
		err = errors.New("to be retried")
	}
	return &rescheduleError{err: err, at: t}
}

// Snooze makes a task that returns it run again after d, by the database's clock,
// without recording an error and without counting this attempt. A negative d is 0. An
// error that is joined with it is logged as a warning and stored nowhere.
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

// TimeoutError is the failure of an attempt whose timeout expired, and the cause of
// its context (context.Cause).
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

// Exponential returns a function for [Backoff]: first, doubled after each attempt,
// longest at most, and up to a tenth more, so that tasks that failed together do
// not run together again.
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

// backoff is the default backoff after the given attempt: 1 s, doubled each time, 5
// minutes at most, and up to a tenth more. A Cloud Tasks queue has its own.
var backoff = Exponential(time.Second, LongestBackoff)

// failure is an error of a task with everything that the executor needs to know of
// it, so that nothing later calls the methods of an error that a task made. It is
// the Run's Err, and unwraps to the error itself.
type failure struct {
	err          error
	text         string
	class        string // type of the most informative error
	trace        string // stack, or the wrapped chain
	discard      bool
	cancel       bool
	reschedule   *rescheduleError // the task asked for a time
	continuation *continuation    // the task asked for another attempt at once
	drops        bool             // err is joined with another one, which Continue and Snooze do not record
	contextEnded bool             // err is that of a context that has ended
	panicked     bool
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.err }

// classify inspects err once. It panics if a method of err does.
func classify(err error) *failure {
	f := &failure{err: err, contextEnded: errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)}
	f.text, f.class = cleanText(err.Error(), maxMessageBytes), cleanText(typeName(err), 200)
	var discard *discardError
	f.discard = errors.As(err, &discard)
	var cancel *cancelError
	f.cancel = errors.As(err, &cancel)
	errors.As(err, &f.reschedule)
	errors.As(err, &f.continuation)
	f.drops = joined(err)
	if p, ok := err.(*PanicError); ok {
		f.panicked, f.trace = true, cleanText(string(p.Stack), maxTracebackBytes)
		return f
	}
	var chain strings.Builder
	writeChain(&chain, err)
	f.trace = cleanText(chain.String(), maxTracebackBytes)
	return f
}

// joined reports whether err wraps several errors.
func joined(err error) bool {
	for {
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			return len(e.Unwrap()) > 1
		default:
			return false
		}
	}
}

// timedOut is the failure of a function that returned f after its timeout.
func timedOut(after time.Duration, f *failure) *failure {
	err := &TimeoutError{Timeout: after, Err: f.err}
	return &failure{err: err, text: err.Error(), class: "*queue.TimeoutError", trace: cleanText("*queue.TimeoutError: "+err.Error()+"\n"+f.trace, maxTracebackBytes)}
}

// notReturned is the failure of a function that has not returned after its timeout.
func notReturned(after time.Duration) *failure {
	f := classify(&TimeoutError{Timeout: after})
	f.text += "; the function did not return"
	f.trace = "*queue.TimeoutError: " + f.text
	return f
}

func (f *failure) snoozed() bool { return f.reschedule != nil && f.reschedule.snooze }

// record is the error record of a row's current attempt.
func (f *failure) record(row *Row, at time.Time) AttemptError {
	return AttemptError{
		ExceptionClassPath: f.class, Message: f.text, Traceback: f.trace,
		Attempt: row.Attempts, At: at.UTC().Truncate(time.Microsecond),
		StartedAt: row.LastAttemptedAt, WorkerID: row.worker(),
	}
}

// withoutMarks removes this package's own wrappers from an error.
func withoutMarks(err error) error {
	for {
		switch e := err.(type) {
		case *discardError:
			err = e.error
		case *cancelError:
			err = e.error
		case *invalidError:
			err = e.error
		case *codecError:
			err = e.error
		case *rescheduleError:
			err = e.err
		default:
			return err
		}
	}
}

// typeName is the type of the most informative error: the first below fmt's wrappers.
func typeName(err error) string {
	for {
		err = withoutMarks(err)
		name, inner := reflect.TypeOf(err).String(), errors.Unwrap(err)
		if name != "*fmt.wrapError" && name != "*jsonvalue.Problem" || inner == nil {
			return name
		}
		err = inner
	}
}

// writeChain writes err and the errors that it wraps, one a line.
func writeChain(b *strings.Builder, err error) {
	err = withoutMarks(err)
	fmt.Fprintf(b, "%T: %v\n", err, err)
	switch e := err.(type) {
	case *PanicError:
		b.Write(e.Stack)
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
