package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// statementTimeout bounds one call of the store, besides the caller's deadline.
const statementTimeout = 10 * time.Second

// outage logs once that database calls have begun to fail, and once that they
// succeed again, however many calls fail in between.
type availability struct {
	log *slog.Logger

	mu               sync.Mutex
	downSince        time.Time // zero while calls succeed
	writeFailed      bool      // a write has failed, so only a write shows that the outage is over
	contentionLogged time.Time // when contention was last logged
	outdatedLogged   bool
}

// contentionLogInterval is the shortest time between two log lines about contention.
const contentionLogInterval = 30 * time.Second

// observe records the error, or success, of a call that writes.
func (a *availability) observe(err error) { a.record(err, true) }

// observeRead records the error, or success, of a call that reads, or had nothing
// to write: it may succeed while the database is read-only or full.
func (a *availability) observeRead(err error) { a.record(err, false) }

func (a *availability) record(err error, write bool) {
	a.recordOutdated(err)
	reason := UnavailableReason(err)
	if err != nil && (reason == nil || reason == ErrClosed) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case reason == ErrLocked, reason == ErrConflict: // the caller's answer says so
	case reason == ErrContended:
		if time.Since(a.contentionLogged) > contentionLogInterval {
			a.contentionLogged = time.Now()
			a.log.Warn("the database aborted a statement", "error", err)
		}
	case reason != nil:
		a.writeFailed = a.writeFailed || write
		if a.downSince.IsZero() {
			a.downSince = time.Now()
			a.log.Error(reason.Error(), "error", err)
		}
	case !a.downSince.IsZero() && (write || !a.writeFailed):
		a.log.Info("database calls succeed again", "after", time.Since(a.downSince).Round(time.Millisecond).String())
		a.downSince, a.writeFailed = time.Time{}, false
	}
}

// recordOutdated logs once that the database refuses the claims of this program.
func (a *availability) recordOutdated(err error) {
	if !errors.Is(err, ErrOutdated) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.outdatedLogged {
		a.outdatedLogged = true
		a.log.Error("this program claims no more tasks, because it is too old for this database: deploy the current version", "error", err)
	}
}

// within calls the store with a time limit. If that is what ended the call, and not
// the caller's context, the error is ErrNoAnswer.
func within(ctx context.Context, limit time.Duration, call func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := call(limited)
	if err != nil && ctx.Err() == nil && limited.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
		return &noAnswerError{limit, err}
	}
	return err
}

// noAnswerError is the ErrNoAnswer of a call of the store that took longer than the
// limit. The store has cancelled its statement.
type noAnswerError struct {
	limit time.Duration
	cause error // the store's: what was called, and context.DeadlineExceeded
}

func (e *noAnswerError) Error() string {
	call := strings.TrimSuffix(e.cause.Error(), ": "+context.DeadlineExceeded.Error())
	return fmt.Sprintf("%s: the database did not answer within %s: it is overloaded or unreachable, or another transaction has locked what the statement needs", call, e.limit)
}

func (e *noAnswerError) Unwrap() []error { return []error{ErrNoAnswer, e.cause} }
