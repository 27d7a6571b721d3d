package pgstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/puddle/v2"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// querier is a connection or a transaction.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// use is how a call uses the pool.
type use struct {
	// urgent calls may take the connection that is kept for heartbeats and for the
	// statements that end a claim: they never wait behind other calls.
	urgent bool
	// ownTransaction says that the call begins a transaction by itself.
	ownTransaction bool
}

// on is [Store.with] for an ordinary call.
func (s *Store) on(ctx context.Context, op string, do func(*pgx.Conn) error) error {
	return s.with(ctx, op, use{}, do)
}

// with runs do on a connection of the pool, and once more on another one if the first
// was closed while it was idle and nothing was sent. It translates the error.
func (s *Store) with(ctx context.Context, op string, u use, do func(*pgx.Conn) error) (err error) {
	if s.observe != nil {
		ended := s.observe(ctx, op)
		defer func() { ended(err) }()
	}
	if s.closed.Load() {
		return fmt.Errorf("%s: %w", op, queue.ErrClosed)
	}
	unsent, err := s.once(ctx, op, u, do)
	if unsent && ctx.Err() == nil {
		_, err = s.once(ctx, op, u, do)
	}
	return err
}

// once runs do on one connection, and repeats it if it failed on a plan that a
// migration has made stale, or on an isolation level that the session has from its
// role or database. unsent reports that the connection was closed before anything was
// sent.
func (s *Store) once(ctx context.Context, op string, u use, do func(*pgx.Conn) error) (unsent bool, err error) {
	conn, release, err := s.acquire(ctx, op, u.urgent)
	if err != nil {
		return false, storekit.NoEffect(err) // nothing was sent
	}
	defer release()
	explicit := s.explicit.Load()
	if err = s.isolated(ctx, conn.Conn(), u, explicit, do); !hasClaimed(err) && (isStalePlan(err) || s.mustIsolate(err, u, explicit)) {
		err = s.isolated(ctx, conn.Conn(), u, s.explicit.Load(), do)
	}
	if isCode(err, pgerrcode.ReadOnlySQLTransaction) {
		// This server is, or has become, a read-only replica: close the connection, so
		// that the next one finds the primary.
		_ = conn.Conn().Close(ctx)
	}
	if err != nil && conn.Conn().IsClosed() {
		unsent = !hasClaimed(err) && pgconn.SafeToRetry(err)
		return unsent, s.unavailable(ctx, op, err)
	}
	if hasClaimed(err) {
		return false, s.translate(ctx, op, err)
	}
	return false, storekit.NoEffect(s.translate(ctx, op, err)) // the server returned an error, and has rolled the statement back
}

// acquire takes a connection of the pool, and returns the function that releases it.
func (s *Store) acquire(ctx context.Context, op string, urgent bool) (conn *pgxpool.Conn, release func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, s.acquireTimeout)
	defer cancel()
	leave, err := s.reserve.Enter(waiting, urgent)
	if err != nil {
		if ctx.Err() != nil {
			return nil, nil, s.translate(ctx, op, ctx.Err())
		}
		return nil, nil, s.poolExhausted(op)
	}
	conn, err = s.pool.Acquire(waiting)
	if err == nil {
		return conn, func() { conn.Release(); leave() }, nil
	}
	leave()
	switch late := waiting.Err() != nil && ctx.Err() == nil; {
	case late && s.pool.Stat().AcquiredConns() >= s.pool.Config().MaxConns:
		return nil, nil, s.poolExhausted(op)
	case late:
		return nil, nil, fmt.Errorf("%s: %w: no connection to %s within %s: it does not answer", op, queue.ErrUnavailable, s.where(), s.acquireTimeout)
	}
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) && !errors.Is(err, puddle.ErrClosedPool) {
		return nil, nil, s.unavailable(ctx, op, err) // it may have broken while it was set up
	}
	return nil, nil, s.translate(ctx, op, err)
}

// poolExhausted is the error of a call for which no connection was free in time.
func (s *Store) poolExhausted(op string) error {
	return fmt.Errorf("%s: %w to %s within %s: all %d are in use (%s)", op, queue.ErrPoolExhausted, s.where(), s.acquireTimeout, s.pool.Config().MaxConns, s.setting("MaxConns"))
}
