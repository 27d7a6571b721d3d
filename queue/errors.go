package queue

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Errors of [Store] and [Client]. Test with errors.Is.
var (
	// ErrNotFound: no row has this ID (it never existed, or was purged).
	ErrNotFound = errors.New("task not found")
	// ErrIDConflict: the ID of [WithID] is that of another task, or of the same
	// task with other arguments. Nothing was stored.
	ErrIDConflict = errors.New("this id belongs to another task already")
	// ErrDuplicate: another row of the task holds the key of [Unique]. Nothing was
	// stored or changed. It is also the Reason of a [NotClaimedError].
	ErrDuplicate = errors.New("another task holds this unique_key")
	// ErrInvalid: the request cannot be accepted, and nothing was stored. The
	// message names the field and what it accepts.
	ErrInvalid = errors.New("invalid request")
	// ErrUnavailable: the database could not do the work now; the same request may
	// succeed later. [ErrLocked], [ErrContended], [ErrNoAnswer] and
	// [ErrPoolExhausted] are ErrUnavailable too, and more precise; without one of
	// them the database cannot be reached, or refuses the work (a restart, a
	// failover, a full disk).
	ErrUnavailable = errors.New("database unavailable")
	// ErrNoEffect, in an ErrUnavailable of Claim or ClaimNext: the statement did not
	// reach the database, or was refused, so nothing was claimed. Without it the
	// claim may have been made although its answer did not arrive.
	ErrNoEffect = errors.New("nothing was changed")
	// ErrTooLarge: the row is larger than the database accepts, for example than
	// MySQL's max_allowed_packet. Nothing was stored, and a retry would not help.
	ErrTooLarge = errors.New("larger than the database accepts")
	// ErrSchema: the tables are missing, or of an older version. The stores' Migrate
	// creates and updates them.
	ErrSchema = errors.New("database schema is missing or behind")
	// ErrNotReady: the [Client] was not made with [NewClient], and its Init has not
	// succeeded yet. Nothing was done. Code that gets the Client earlier keeps it for
	// its tasks and handlers.
	ErrNotReady = errors.New("queue: the Client is not ready: make it with NewClient, or keep it and use it once the program is open (its Init has succeeded)")
	// ErrOutdated: this program is too old to claim tasks from the database, because a
	// newer one uses there what this one does not know. Nothing was claimed. Tasks that
	// it runs end as usual.
	ErrOutdated = errors.New("this program is too old to claim tasks from this database: deploy the current version")
	// ErrUnsupported: the store does not implement an optional interface, such as
	// [Operator], that the call requires. It is errors.ErrUnsupported too.
	ErrUnsupported error = unsupportedError("the store does not support this operation")
	// ErrClosed: the store has been closed.
	ErrClosed = errors.New("store is closed")
)

// unsupportedError is an error that is errors.ErrUnsupported.
type unsupportedError string

func (e unsupportedError) Error() string      { return string(e) }
func (unsupportedError) Is(target error) bool { return target == errors.ErrUnsupported }

// Kinds of [ErrUnavailable] that are not an outage of the database. Test with
// errors.Is.
var (
	// ErrLocked: another transaction has locked the row, so nothing was changed.
	// It is also the Reason of a [NotClaimedError].
	ErrLocked error = transientError("the row is locked by another transaction")
	// ErrContended: the database aborted the statement because of other
	// transactions (deadlock, serialization failure, lock wait) or a time limit of
	// its own. Nothing was changed.
	ErrContended error = transientError("the database aborted the statement because of other transactions or a time limit")
	// ErrConflict: in a transaction of the caller's, a row with a [Unique] key met
	// another transaction's, which this one cannot see or wait for. Roll the
	// transaction back and retry all of it. It is [ErrContended] too.
	ErrConflict error = conflictError("another transaction stores or changes the task that holds this unique_key: roll back and retry your transaction")
	// ErrNoAnswer: the database did not answer in time; it is not known whether it
	// did the work.
	ErrNoAnswer error = transientError("the database did not answer in time")
	// ErrPoolExhausted: all connections of this process were in use for too long.
	ErrPoolExhausted error = transientError("no free database connection")
)

// transientError is an error that is ErrUnavailable.
type transientError string

func (e transientError) Error() string      { return string(e) }
func (transientError) Is(target error) bool { return target == ErrUnavailable }

// conflictError is an error that is ErrContended.
type conflictError string

func (e conflictError) Error() string      { return string(e) }
func (conflictError) Is(target error) bool { return target == ErrContended || target == ErrUnavailable }

// UnavailableReason returns the most precise of the errors above that err is, if err
// is [ErrUnavailable] or [ErrClosed]; nil for any other error. Unlike err's, its text
// contains nothing about the database or its address.
func UnavailableReason(err error) error {
	for _, reason := range []error{ErrLocked, ErrConflict, ErrContended, ErrNoAnswer, ErrPoolExhausted, ErrClosed, ErrUnavailable} {
		if errors.Is(err, reason) {
			return reason
		}
	}
	return nil
}

// Why a row was not claimed: the Reason of a [NotClaimedError], which wraps it. Each
// maps to one answer of the execute endpoint. Test with errors.Is.
var (
	// ErrFinal: the task has ended, or was cancelled.
	ErrFinal = errors.New("Task is not in READY status")
	// ErrDropped: a FAILED task cannot be retried, because its [Keep] has dropped its
	// arguments. It is ErrFinal too.
	ErrDropped error = droppedError("its retention (Keep, keep_failed) dropped its arguments when it ended, so it cannot be retried")
	// ErrLeased: it is running elsewhere under a live lease.
	ErrLeased = errors.New("task is running under a live lease")
	// ErrNotDue: its run_after is in the future.
	ErrNotDue = errors.New("task is not due yet")
	// ErrUnknownTask: no function is registered here under its name.
	ErrUnknownTask = errors.New("task name is not registered in this version")
	// ErrUnknownKey: it is encrypted with a key that this program does not have ([Codec]).
	// The row waits for a program that has the key.
	ErrUnknownKey = errors.New("the task is encrypted with a key that this program does not have")
	// ErrPaused: its queue is paused ([Gatekeeper]). The row waits, and is dispatched
	// when the queue is resumed.
	ErrPaused = errors.New("the queue of the task is paused")
	// ErrLimited: a limit is reached ([Limiter]). The row waits, and is dispatched when
	// the limit allows it.
	ErrLimited = errors.New("a limit of the task is reached")
	// ErrWorkerLost: its lease had expired and no attempt was left, so this claim
	// has made it FAILED.
	ErrWorkerLost = errors.New("the lease expired on the last attempt, and no result was stored")
)

// droppedError is an error that is ErrFinal.
type droppedError string

func (e droppedError) Error() string      { return string(e) }
func (droppedError) Is(target error) bool { return target == ErrFinal }

// NotClaimedError says why a row was not claimed. Get it with errors.As.
type NotClaimedError struct {
	Reason error // one of the errors above
	Row    *Row  // the row as it is now
	Holder *Row  // the row that holds its key ([ErrDuplicate])
	// Limits are those that are reached ([ErrLimited]), with the limit keys; how much of
	// them is used is not filled in.
	Limits []LimitUse
	// Wait is the time until the lease expires ([ErrLeased]) or the task is due
	// ([ErrNotDue]), by the database's clock.
	Wait time.Duration
	// Room says that the limits may allow the row by now: a task may have ended that did
	// not see that the row waits ([ErrLimited]).
	Room bool
}

// Error is the reason's text. Where the last attempt has left an error record
// (a timeout), it is that instead of the loss of the worker. A paused queue is named, and
// so is when a task whose arguments are gone is deleted.
func (e *NotClaimedError) Error() string {
	if e.Reason == ErrDuplicate && e.Holder != nil {
		return fmt.Sprintf("task %s, which is %s, holds the unique_key of this task", e.Holder.ID, e.Holder.Status)
	}
	if e.Reason == ErrWorkerLost && e.Row != nil {
		if n := len(e.Row.Errors); n > 0 && e.Row.Errors[n-1].ExceptionClassPath != workerLostClass {
			return "no attempt is left, and the last one failed: " + e.Row.Errors[n-1].Message
		}
	}
	if e.Reason == ErrPaused && e.Row != nil {
		return fmt.Sprintf("queue %s is paused: the task waits until it is resumed", e.Row.Queue)
	}
	if e.Reason == ErrDropped && e.Row != nil {
		return e.Row.NotRetried().Error()
	}
	if e.Reason == ErrLimited && e.Row != nil {
		return limitedText(e.Row, e.Limits)
	}
	return e.Reason.Error()
}

// Unwrap gives errors.Is the reason.
func (e *NotClaimedError) Unwrap() error { return e.Reason }

// How a claim can end other than by finishing the row, or not begin. Test with
// errors.Is.
var (
	// ErrLeaseLost: the row is no longer RUNNING under this claim: the lease expired
	// and another claim was made, or the task was cancelled. Nothing was written. It
	// is also the cause of a task's cancelled context.
	ErrLeaseLost = errors.New("the claim was lost")
	// ErrFinishUnknown: it is not known whether the outcome was stored.
	ErrFinishUnknown = errors.New("it is unknown whether the result was stored")
	// ErrShutdown is the cause of a task's cancelled context when the process
	// is stopping; the attempt does not count. Nothing is claimed any more.
	ErrShutdown = errors.New("the process is shutting down")
	// ErrNotArmed: a task that is not due could not be dispatched for its time, so it
	// has to be delivered again.
	ErrNotArmed = errors.New("the task could not be armed for its time")
	// ErrBusy: as many tasks are running here as [ExecutorConfig].Concurrency allows.
	ErrBusy = errors.New("all task slots of this process are taken")
)

// ConfigError is a field of the Config of a [Store] that is missing or wrong. Its
// Error names the field as the package does, such as Config.URL; a program whose
// users set it by another name says that name and Text.
type ConfigError struct {
	Field string // "URL"
	Text  string // what is wrong, and what the field accepts
	Err   error  // the cause, whose text is in Text; may be nil
}

func (e *ConfigError) Error() string { return "Config." + e.Field + ": " + e.Text }

// Unwrap returns the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// IDConflictError is [ErrIDConflict] with the ID.
type IDConflictError struct {
	ID uuid.UUID
	// Earlier is the number, from 1, of a request of the same EnqueueMany that has the ID
	// too, with another task or other arguments; 0: there is none.
	Earlier int
	// Row is the stored row; nil if Earlier is set, or if the store does not tell.
	Row *Row
	// KeyID is the key of the stored row of the same task, if it could not be decrypted:
	// whether the row has the same arguments is not known.
	KeyID string
}

func (e *IDConflictError) Error() string {
	if e.KeyID != "" {
		return fmt.Sprintf("id %s: its arguments could not be compared (%s), so it is not known whether it is the same task; nothing is stored", e.ID, e.Row.Unreadable)
	}
	if e.Earlier > 0 {
		return fmt.Sprintf("id %s: request %d of this call has it too, with another task or other arguments, so nothing of the call is stored", e.ID, e.Earlier)
	}
	return "id " + e.ID.String() + ": " + ErrIDConflict.Error()
}

// Is reports whether target is ErrIDConflict.
func (e *IDConflictError) Is(target error) bool { return target == ErrIDConflict }

// invalidf returns an error that is ErrInvalid with a message of its own.
func invalidf(format string, args ...any) error {
	return &invalidError{fmt.Errorf(format, args...)}
}

// invalid makes err ErrInvalid, with its own message; nil stays nil.
func invalid(err error) error {
	if err == nil {
		return nil
	}
	return &invalidError{err}
}

type invalidError struct{ error }

func (e *invalidError) Is(target error) bool { return target == ErrInvalid }
func (e *invalidError) Unwrap() error        { return e.error }
