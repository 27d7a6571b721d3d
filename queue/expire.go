package queue

import (
	"errors"
	"time"
)

// ExpiresAt is the time, later than now, from which the task is not started any more: if
// it has not been started by then, it becomes CANCELLED, and its error says why. A task
// that has begun is not affected, also if its first attempt was interrupted or has ended
// with [Snooze]. It is an option of Enqueue; [ExpiresIn] fits a task, too.
func ExpiresAt(t time.Time) Option {
	return func(o *options) { o.expiresAt, o.expiresIn = t, 0 }
}

// ExpiresIn is [ExpiresAt] for a time from now, when the task is enqueued, by the
// database's clock.
func ExpiresIn(d time.Duration) Option {
	return func(o *options) { o.expiresAt, o.expiresIn = time.Time{}, d }
}

// ErrExpired is the Reason of a [NotClaimedError]: the task had not been started before
// its ExpiresAt, and is CANCELLED now.
var ErrExpired = errors.New("the task was not started before its expires_at, and is cancelled")

// expiredClass is the class of the record that [ExpiredErrors] returns.
const expiredClass = "Expired"

// ExpiredErrors is the error history of a row that expired, seen at the database's time
// now: one record. It has none before, since it was never started.
func ExpiredErrors(now time.Time) []AttemptError {
	return []AttemptError{{ExceptionClassPath: expiredClass, Message: ErrExpired.Error(), At: now.UTC()}}
}

// Expired reports whether the row must not be started any more at the database's time
// now.
func (r *Row) Expired(now time.Time) bool {
	return r.Status == StatusReady && r.StartedAt.IsZero() && !r.ExpiresAt.IsZero() && !r.ExpiresAt.After(now)
}

// checkExpiry returns the error of an expiry that is out of bounds, or before the task
// is due.
func (o *options) checkExpiry() error {
	switch {
	case o.expiresIn < 0 || o.expiresIn > latestRunAfter.Sub(earliestRunAfter):
		return invalidf("expires_in must not be negative, not %s", o.expiresIn)
	case o.expiresAt.IsZero() && o.expiresIn == 0:
		return nil
	case !o.expiresAt.IsZero() && (o.expiresAt.Before(earliestRunAfter) || o.expiresAt.After(latestRunAfter)):
		return invalidf("expires_at must be between the years 1970 and 9999, not in %d", o.expiresAt.UTC().Year())
	case !o.expiresAt.IsZero() && !o.expiresAt.After(time.Now()):
		return invalidf("expires_at must be later than now, or the task never runs, not %s", o.expiresAt.UTC().Format(time.RFC3339))
	}
	return o.checkDueBeforeExpiry(time.Now())
}

// checkDueBeforeExpiry returns the error of a task that is not due before it expires. Of
// each of both it has the time, or how long it is from now.
func (o *options) checkDueBeforeExpiry(now time.Time) error {
	due, expires, field := o.runAfter, o.expiresAt, "expires_at"
	if due.IsZero() {
		due = now.Add(o.delay)
	}
	if expires.IsZero() {
		expires, field = now.Add(o.expiresIn), "expires_in"
	}
	switch {
	case expires.After(due):
		return nil
	case field == "expires_in" && o.runAfter.IsZero():
		return invalidf("expires_in must be longer than the delay of %s, or the task never runs", o.delay)
	case field == "expires_in":
		return invalidf("expires_in must end after run_after, or the task never runs: %s from now is before %s", o.expiresIn, o.runAfter.UTC().Format(time.RFC3339))
	case o.runAfter.IsZero():
		return invalidf("expires_at must be later than the end of the delay of %s, or the task never runs", o.delay)
	}
	return invalidf("expires_at must be later than run_after, or the task never runs")
}
