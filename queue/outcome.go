package queue

import (
	"errors"
	"fmt"
	"math/rand/v2"
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
