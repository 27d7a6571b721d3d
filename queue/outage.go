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

// outage says once that the database has gone, and once that it is back,
// however many calls fail in between.
type outage struct {
	log *slog.Logger

	mu     sync.Mutex
	since  time.Time // zero while all is well
	writes bool      // a write has failed, so that only a write shows that it is back
}

// observe takes note of how a call that writes has ended.
func (o *outage) observe(err error) { o.note(err, true) }

// observeRead takes note of how a call has ended that reads, or had nothing to
// write: it may succeed while the database is read-only or full.
func (o *outage) observeRead(err error) { o.note(err, false) }

func (o *outage) note(err error, write bool) {
	down := errors.Is(err, ErrUnavailable)
	if err != nil && !down {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case down:
		o.writes = o.writes || write
		if o.since.IsZero() {
			o.since = time.Now()
			o.log.Error("database unavailable; trying on", "error", err)
		}
	case !o.since.IsZero() && (write || !o.writes):
		o.log.Info("database is back", "after", time.Since(o.since).Round(time.Millisecond).String())
		o.since, o.writes = time.Time{}, false
	}
}

// within calls the store with a limit of our own. If that is what ended the call,
// and not the caller's context, the error says so, and is ErrUnavailable.
func within(ctx context.Context, limit time.Duration, call func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := call(limited)
	if err != nil && ctx.Err() == nil && limited.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
		return &noAnswerError{limit, err}
	}
	return err
}

// noAnswerError is a call of the store that took too long. The store has
// cancelled its statement.
type noAnswerError struct {
	limit time.Duration
	cause error // what was called, and that its time was over
}

func (e *noAnswerError) Error() string {
	call := strings.TrimSuffix(e.cause.Error(), ": "+context.DeadlineExceeded.Error())
	return fmt.Sprintf("%s: the database did not answer within %s: it is overloaded or unreachable, or another transaction has locked what the statement needs", call, e.limit)
}

func (e *noAnswerError) Unwrap() []error { return []error{ErrUnavailable, e.cause} }
