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

// statementTimeout bounds one call of the store where no caller's deadline does.
const statementTimeout = 10 * time.Second

// outage logs once that calls of the database began to fail, and once that they
// succeed again, however many calls fail in between.
type outage struct {
	log *slog.Logger

	mu        sync.Mutex
	since     time.Time // zero while calls succeed
	writes    bool      // a write has failed, so that only a write shows that it is over
	contended time.Time // when contention was last logged
}

// contentionPause is how often contention is logged at most.
const contentionPause = 30 * time.Second

// observe records how a call that writes has ended.
func (o *outage) observe(err error) { o.note(err, true) }

// observeRead records how a call has ended that reads, or had nothing to
// write: it may succeed while the database is read-only or full.
func (o *outage) observeRead(err error) { o.note(err, false) }

func (o *outage) note(err error, write bool) {
	reason := UnavailableReason(err)
	if err != nil && (reason == nil || reason == ErrClosed) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case reason == ErrLocked: // the caller's answer says so
	case reason == ErrContended:
		if time.Since(o.contended) > contentionPause {
			o.contended = time.Now()
			o.log.Warn("the database gave up a statement", "error", err)
		}
	case reason != nil:
		o.writes = o.writes || write
		if o.since.IsZero() {
			o.since = time.Now()
			o.log.Error(reason.Error(), "error", err)
		}
	case !o.since.IsZero() && (write || !o.writes):
		o.log.Info("database calls succeed again", "after", time.Since(o.since).Round(time.Millisecond).String())
		o.since, o.writes = time.Time{}, false
	}
}

// within calls the store with a limit of our own. If that is what ended the call,
// and not the caller's context, the error is ErrNoAnswer.
func within(ctx context.Context, limit time.Duration, call func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := call(limited)
	if err != nil && ctx.Err() == nil && limited.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
		return &noAnswerError{limit, err}
	}
	return err
}

// noAnswerError is ErrNoAnswer of a call of the store that took too long. The
// store has cancelled its statement.
type noAnswerError struct {
	limit time.Duration
	cause error // what was called, and that its time was over
}

func (e *noAnswerError) Error() string {
	call := strings.TrimSuffix(e.cause.Error(), ": "+context.DeadlineExceeded.Error())
	return fmt.Sprintf("%s: the database did not answer within %s: it is overloaded or unreachable, or another transaction has locked what the statement needs", call, e.limit)
}

func (e *noAnswerError) Unwrap() []error { return []error{ErrNoAnswer, e.cause} }
