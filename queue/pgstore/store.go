// Package pgstore keeps the rows of package queue in PostgreSQL, through pgx.
//
// On the path enqueue → row → ticket → delivery → claim → run → finish it is
// the row, the claim and the finish: each of these three is one statement, and
// so is everything else that happens often. The statements carry the
// conditions themselves, so that concurrent callers, in this process and in
// others, are kept apart by the database alone; Go asks why only after one of
// them has missed.
package pgstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/puddle/v2"

	"github.com/claimcheck-go/claimcheck/queue"
)

var _ queue.Store = (*Store)(nil)

// DefaultAcquireTimeout is how long a call waits for a free connection.
const DefaultAcquireTimeout = 5 * time.Second

// Store is a queue.Store. It is safe for concurrent use.
type Store struct {
	pool           *pgxpool.Pool
	server         string       // for messages
	dialFunc       bool         // connections are made by Config.DialFunc
	pooler         bool         // Config.Pooler
	accepted       *atomic.Bool // a connection was made once
	acquireTimeout time.Duration
	closed         atomic.Bool
	observe        func(ctx context.Context, op string) (ended func(error)) // nil: nobody does

	// What concurrent callers ask for goes together.
	inserts  merger[*queue.NewRow, inserted]
	claims   merger[claimOf, *queue.Row]
	finishes merger[finishOf, time.Time]

	lines lines
}

// New returns a Store on a pool of the caller's. Close closes the pool. A nil pool
// panics.
func New(pool *pgxpool.Pool) *Store {
	if pool == nil {
		panic("pgstore: New: the pool is nil: check the error of pgxpool.New")
	}
	c := pool.Config().ConnConfig
	s := &Store{
		pool:           pool,
		server:         serverName(c.Host, c.Port),
		acquireTimeout: DefaultAcquireTimeout,
		accepted:       new(atomic.Bool),
	}
	s.merge(usualLimits)
	return s
}

// querier is a connection or a transaction.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// on runs do on a connection of the pool, and again on another one if the first
// had died while it was idle and nothing was sent. It translates the error.
func (s *Store) on(ctx context.Context, op string, do func(*pgx.Conn) error) (err error) {
	if s.observe != nil {
		ended := s.observe(ctx, op)
		defer func() { ended(err) }()
	}
	if s.closed.Load() {
		return fmt.Errorf("%s: %w", op, queue.ErrClosed)
	}
	unsent, err := s.once(ctx, op, do)
	if unsent && ctx.Err() == nil {
		_, err = s.once(ctx, op, do)
	}
	return err
}

// once runs do on one connection, and again if the first run failed on a plan
// that a migration has made stale. unsent reports that the connection was closed
// before anything was sent.
func (s *Store) once(ctx context.Context, op string, do func(*pgx.Conn) error) (unsent bool, err error) {
	waiting, cancel := context.WithTimeout(ctx, s.acquireTimeout)
	conn, err := s.pool.Acquire(waiting)
	late := waiting.Err() != nil
	cancel()
	if err != nil { // nothing was sent
		defer func() { err = noEffect(err) }()
		if late && ctx.Err() == nil {
			why := "it does not answer"
			if limit := s.pool.Config().MaxConns; s.pool.Stat().AcquiredConns() >= limit {
				why = fmt.Sprintf("all %d are in use (DB_MAX_CONNS)", limit)
			}
			return false, fmt.Errorf("%s: %w: no connection to %s within %s: %s", op, queue.ErrUnavailable, s.where(), s.acquireTimeout, why)
		}
		return false, s.translate(ctx, op, err)
	}
	defer conn.Release()
	if err = do(conn.Conn()); isStalePlan(err) {
		err = do(conn.Conn())
	}
	if isCode(err, "25006") {
		// This server is, or has become, a read-only replica: throw the
		// connection away, so that the next one finds the primary.
		_ = conn.Conn().Close(ctx)
	}
	if err != nil && conn.Conn().IsClosed() {
		unsent = pgconn.SafeToRetry(err)
		return unsent, s.unavailable(ctx, op, err)
	}
	return false, noEffect(s.translate(ctx, op, err)) // the server's own answer: it has undone the statement
}

// noEffect marks an error that says that the database is the problem, and after
// which nothing was changed.
func noEffect(err error) error {
	if errors.Is(err, queue.ErrUnavailable) {
		return &harmless{err}
	}
	return err
}

// harmless is an error that is queue.ErrNoEffect, too.
type harmless struct{ error }

func (e *harmless) Unwrap() []error { return []error{e.error, queue.ErrNoEffect} }

// translate makes the driver's errors those of package queue; others pass.
func (s *Store) translate(ctx context.Context, op string, err error) error {
	var pgErr *pgconn.PgError
	var connectErr *pgconn.ConnectError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &connectErr), errors.Is(err, pgconn.ErrConnClosed):
		return s.unavailable(ctx, op, err)
	case !errors.As(err, &pgErr):
		if s.closed.Load() || errors.Is(err, puddle.ErrClosedPool) {
			return fmt.Errorf("%s: %w", op, queue.ErrClosed)
		}
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return fmt.Errorf("%s: %w", op, ctx.Err())
		}
		return err
	case isUnavailable(pgErr.Code):
		return s.unavailable(ctx, op, err)
	case pgErr.Code == "26000", pgErr.Code == "42P05": // prepared statement missing, or there already
		return fmt.Errorf("%s: %w (if a transaction pooler sits before the database, set DB_POOLER=true)", op, err)
	case pgErr.Code == undefinedTable, pgErr.Code == "42703", pgErr.Code == "3F000": // undefined column, schema
		return fmt.Errorf("%s: %w: %w", op, queue.ErrSchema, err)
	}
	return fmt.Errorf("%s: %w", op, err)
}

// unavailable is the error of a database that could not do its work, unless
// the caller's context, or Close, was what stopped it.
func (s *Store) unavailable(ctx context.Context, op string, err error) error {
	switch {
	case s.closed.Load():
		return fmt.Errorf("%s: %w", op, queue.ErrClosed)
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	return &outage{op + ": " + queue.ErrUnavailable.Error() + ": " + s.explain(err), err}
}

const undefinedTable = "42P01"

// isUnavailable tells the conditions of the server that pass, or that an
// administrator ends, from faults of the request.
func isUnavailable(code string) bool {
	switch code[:2] {
	case "08", // connection
		"40", // deadlock, serialization
		"53", // out of disk, memory, connections
		"57", // shutdown, crash, cancelled by a timeout of the server
		"58": // I/O
		return true
	}
	return code == "25006" || code == "55P03" // read-only, lock timeout
}

func isCode(err error, code string) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == code
}

// isStalePlan reports whether a migration changed a table under a prepared
// statement. The driver has forgotten that statement by now.
func isStalePlan(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "0A000" && strings.Contains(pgErr.Message, "cached plan")
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	return s.on(ctx, "ping", func(conn *pgx.Conn) error { return conn.Ping(ctx) })
}

// Close closes the pool, and waits for the calls under way. Later calls answer
// queue.ErrClosed.
func (s *Store) Close() error {
	s.closed.Store(true)
	s.pool.Close()
	return nil
}
