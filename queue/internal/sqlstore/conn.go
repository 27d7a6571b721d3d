package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// on is with for an ordinary call.
func (s *Store) on(ctx context.Context, db *sql.DB, op string, do func(*sql.Conn) error) error {
	return s.with(ctx, db, op, false, do)
}

// with runs do on a connection of db and translates its error. Connections that
// the server has closed are replaced. An urgent call may take the connection that is
// kept for heartbeats and for ending claims.
func (s *Store) with(ctx context.Context, db *sql.DB, op string, urgent bool, do func(*sql.Conn) error) (err error) {
	if s.options.Observe != nil {
		ended := s.options.Observe(ctx, op)
		defer func() { ended(err) }()
	}
	for try := 0; ; try++ {
		if s.closed.Load() {
			return fmt.Errorf("%s: %w", op, queue.ErrClosed)
		}
		conn, release, err := s.acquire(ctx, db, op, urgent)
		if err != nil {
			return storekit.NoEffect(err)
		}
		err = do(conn)
		broken := err != nil && s.backend.Broken(err)
		if broken {
			_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // the pool discards it
		}
		release()
		if again := broken && errors.Is(err, errNotBegun) && ctx.Err() == nil && try <= db.Stats().MaxOpenConnections; !again {
			translated := s.translate(ctx, op, withoutMark(err))
			if broken && !errors.Is(err, errNotBegun) {
				return translated // it may have committed
			}
			return storekit.NoEffect(translated)
		}
	}
}

// withoutMark takes errNotBegun off.
func withoutMark(err error) error {
	if errors.Is(err, errNotBegun) {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			return joined.Unwrap()[1]
		}
	}
	return err
}

// acquire takes a connection of db, and returns the function that releases it.
func (s *Store) acquire(ctx context.Context, db *sql.DB, op string, urgent bool) (conn *sql.Conn, release func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, s.options.AcquireTimeout)
	defer cancel()
	reserve := s.reserve
	if s.embedded() && db == s.writer {
		reserve = s.turns
	}
	leave, err := reserve.Enter(waiting, urgent)
	if err != nil {
		if ctx.Err() != nil {
			return nil, nil, s.translate(ctx, op, ctx.Err())
		}
		return nil, nil, s.exhausted(db, op)
	}
	conn, err = db.Conn(waiting)
	if err == nil {
		return conn, func() { _ = conn.Close(); leave() }, nil
	}
	leave()
	switch {
	case waiting.Err() == nil || ctx.Err() != nil:
		return nil, nil, s.translate(ctx, op, err)
	case db.Stats().InUse >= db.Stats().MaxOpenConnections:
		return nil, nil, s.exhausted(db, op)
	}
	return nil, nil, fmt.Errorf("%s: %w: no connection to %s within %s: it does not answer", op, queue.ErrUnavailable, s.backend.Name(), s.options.AcquireTimeout)
}

// firstAnswer runs do, which opens a connection or runs its first statement, within
// the acquire timeout: a proxy accepts connections while it has none to the server,
// and delays their first statement.
func (s *Store) firstAnswer(ctx context.Context, op string, do func(context.Context) error) error {
	if s.embedded() { // it waits for its lock no longer than that
		return do(ctx)
	}
	limited, cancel := context.WithTimeout(ctx, s.options.AcquireTimeout)
	defer cancel()
	err := do(limited)
	if err == nil || ctx.Err() != nil || limited.Err() == nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	why := "it does not answer"
	if s.backend.Accepted() {
		why = "it accepted the connection and did not answer the first statement"
	}
	return fmt.Errorf("%s: %w: no connection to %s within %s: %s", op, queue.ErrUnavailable, s.backend.Name(), s.options.AcquireTimeout, why)
}

// exhausted returns the error of a call that got no connection in time.
func (s *Store) exhausted(db *sql.DB, op string) error {
	if s.embedded() {
		return fmt.Errorf("%s: %w: no turn on %s within %s", op, queue.ErrContended, s.backend.Name(), s.options.AcquireTimeout)
	}
	return fmt.Errorf("%s: %w to %s within %s: all %d are in use (%s)", op, queue.ErrPoolExhausted, s.backend.Name(), s.options.AcquireTimeout, db.Stats().MaxOpenConnections, s.options.PoolSetting)
}

func (s *Store) translate(ctx context.Context, op string, err error) error {
	switch {
	case err == nil:
		return nil
	case s.closed.Load():
		return fmt.Errorf("%s: %w", op, queue.ErrClosed)
	}
	return s.backend.Translate(ctx, op, err)
}
