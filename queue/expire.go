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
	return func(o *options) { o.expiry, o.expiresAt, o.expiresIn = "expires_at", t, 0 }
}

// ExpiresIn is [ExpiresAt] for a time from now, when the task is enqueued, by the
// database's clock: longer than 0.
func ExpiresIn(d time.Duration) Option {
	return func(o *options) { o.expiry, o.expiresAt, o.expiresIn = "expires_in", time.Time{}, d }
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
func (o *options) checkExpiry(now time.Time) error {
	switch {
	case o.expiry == "":
		return nil
	case o.expiry == "expires_in" && o.expiresIn <= 0:
		return invalidf("expires_in must be longer than 0, not %s", o.expiresIn)
	case o.expiresIn > latestRunAfter.Sub(earliestRunAfter):
		return invalidf("expires_in must end before the year 10000, not after %s", o.expiresIn)
	case o.expiry == "expires_at" && (o.expiresAt.Before(earliestRunAfter) || o.expiresAt.After(latestRunAfter)):
		return invalidf("expires_at must be between the years 1970 and 9999, not in %d", o.expiresAt.UTC().Year())
	case o.expiry == "expires_at" && !o.expiresAt.After(now):
		return invalidf("expires_at must be later than now, or the task never runs, not %s", o.expiresAt.UTC().Format(time.RFC3339))
	}
	return o.checkDueBeforeExpiry(now)
}

// checkDueBeforeExpiry returns the error of a task that is not due before it expires. Of
// each of both it has the time, or how long it is from now.
func (o *options) checkDueBeforeExpiry(now time.Time) error {
	due, expires := o.runAfter, o.expiresAt
	if due.IsZero() {
		due = now.Add(o.delay)
	}
	if o.expiry == "expires_in" {
		expires = now.Add(o.expiresIn)
	}
	switch {
	case expires.After(due):
		return nil
	case o.expiry == "expires_in" && o.runAfter.IsZero():
		return invalidf("expires_in must be longer than the delay of %s, or the task never runs", o.delay)
	case o.expiry == "expires_in":
		return invalidf("expires_in must end after run_after, or the task never runs: %s from now is before %s", o.expiresIn, o.runAfter.UTC().Format(time.RFC3339))
	case o.runAfter.IsZero():
		return invalidf("expires_at must be later than the end of the delay of %s, or the task never runs", o.delay)
	}
	return invalidf("expires_at must be later than run_after, or the task never runs")
}
