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

	"github.com/claimcheck-go/claimcheck/internal/reserve"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore/internal/batch"
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
	reserve        *reserve.Reserve
	sessionSet     bool                                                     // connections have the settings of session
	explicit       atomic.Bool                                              // transactions name their isolation level: see isolation.go
	observe        func(ctx context.Context, op string) (ended func(error)) // nil: nobody does

	// Concurrent calls share statements.
	inserts  *batch.Batcher[*queue.NewRow, inserted]
	claims   *batch.Batcher[claimOf, *queue.Row]
	finishes *batch.Batcher[finishOf, time.Time]

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
		reserve:        reserve.Of(int(pool.Config().MaxConns)),
	}
	s.setBatching(defaultLimits)
	return s
}

// querier is a connection or a transaction.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// use is how a call uses the pool.
type use struct {
	// urgent calls may take the connection that is kept for heartbeats and for
	// what ends a claim: they never wait behind other calls.
	urgent bool
	// ownTransaction says that the call begins a transaction by itself.
	ownTransaction bool
}

// on is with for an ordinary call.
func (s *Store) on(ctx context.Context, op string, do func(*pgx.Conn) error) error {
	return s.with(ctx, op, use{}, do)
}

// with runs do on a connection of the pool, and again on another one if the first
// had died while it was idle and nothing was sent. It translates the error.
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

// once runs do on one connection, and again if the first run failed on a plan
// that a migration has made stale, or on an isolation level that the session has
// from its role or database. unsent reports that the connection was closed before
// anything was sent.
func (s *Store) once(ctx context.Context, op string, u use, do func(*pgx.Conn) error) (unsent bool, err error) {
	conn, release, err := s.acquire(ctx, op, u.urgent)
	if err != nil {
		return false, noEffect(err) // nothing was sent
	}
	defer release()
	explicit := s.explicit.Load()
	if err = s.isolated(ctx, conn.Conn(), u, explicit, do); isStalePlan(err) || s.mustIsolate(err, u, explicit) {
		err = s.isolated(ctx, conn.Conn(), u, s.explicit.Load(), do)
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

// acquire takes a connection of the pool, and returns what gives it back.
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
		return nil, nil, s.unavailable(ctx, op, err) // it broke while it was set up, perhaps
	}
	return nil, nil, s.translate(ctx, op, err)
}

// poolExhausted is the error of a call that got no connection in time.
func (s *Store) poolExhausted(op string) error {
	return fmt.Errorf("%s: %w to %s within %s: all %d are in use (DB_MAX_CONNS)", op, queue.ErrPoolExhausted, s.where(), s.acquireTimeout, s.pool.Config().MaxConns)
}

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
	case isContended(pgErr.Code):
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", op, ctx.Err())
		}
		return &outage{op + ": " + s.where() + ": " + s.contention(pgErr), queue.ErrContended, err}
	case isUnavailable(pgErr.Code):
		return s.unavailable(ctx, op, err)
	case pgErr.Code == "54000": // program limit exceeded: a value of a gigabyte
		return fmt.Errorf("%s: %w: %w", op, queue.ErrTooLarge, err)
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
	return &outage{op + ": " + queue.ErrUnavailable.Error() + ": " + s.explain(err), queue.ErrUnavailable, err}
}

const undefinedTable = "42P01"

// isContended reports whether the server gave a statement up because of other
// transactions or of a time limit, while it is well itself.
func isContended(code string) bool {
	switch code {
	case "40001", "40P01", // serialization failure, deadlock
		"55P03",          // lock timeout, or a lock that is not waited for
		"57014", "25P04": // cancelled by statement_timeout, by transaction_timeout
		return true
	}
	return false
}

// isUnavailable tells the conditions of the server that pass, or that an
// administrator ends, from faults of the request.
func isUnavailable(code string) bool {
	switch code[:2] {
	case "08", // connection
		"40", // the transaction was rolled back
		"53", // out of disk, memory, connections
		"57", // shutdown, crash
		"58": // I/O
		return true
	}
	return code == "25006" || code == "25P03" // read-only; idle in a transaction for too long
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
