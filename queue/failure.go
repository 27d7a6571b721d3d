package queue

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// failure is an error with all that the executor asks of it, so that nothing
// later calls the methods of an error that a task made. It is the Run's Err;
// what it unwraps to is the error itself.
type failure struct {
	err      error
	text     string
	class    string // type of the error that says most
	trace    string // stack, or the wrapped chain
	discard  bool
	cancel   bool
	again    *rescheduleError // the task asked for its own next time
	stopped  bool             // it says that its context has ended
	panicked bool
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.err }

// judge asks err everything. It may panic, if a method of err does.
func judge(err error) *failure {
	f := &failure{err: err, stopped: errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)}
	f.text, f.class = cleanText(err.Error(), maxMessageBytes), cleanText(class(err), 200)
	var discard *discardError
	f.discard = errors.As(err, &discard)
	var cancel *cancelError
	f.cancel = errors.As(err, &cancel)
	errors.As(err, &f.again)
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
	f := judge(&TimeoutError{Timeout: after})
	f.text += "; the function did not return"
	f.trace = "*queue.TimeoutError: " + f.text
	return f
}

func (f *failure) snoozed() bool { return f.again != nil && f.again.snooze }

// record is the failure of a row's attempt as the row keeps it.
func (f *failure) record(row *Row, at time.Time) AttemptError {
	return AttemptError{
		ExceptionClassPath: f.class, Message: f.text, Traceback: f.trace,
		Attempt: row.Attempts, At: at.UTC().Truncate(time.Microsecond),
		StartedAt: row.LastAttemptedAt, WorkerID: row.worker(),
	}
}

// plain takes this package's own marks off an error.
func plain(err error) error {
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
