// Package sqlstore keeps the rows of package queue in SQLite, or in MySQL or
// MariaDB, through database/sql. SQLite is what a fresh clone and a laptop run
// on: no server, one file.
//
// On the path enqueue → row → ticket → delivery → claim → run → finish it is
// the row, the claim and the finish. Every change works the same way: lock the
// row (SQLite: the database), read it, decide in Go, write its state back. The
// SQL is therefore plain and the same for all, but for what dialect names, and
// what a claim or a finish means stands in Go (claim.go, finish.go). Where many
// rows are changed in the same way, one statement writes them (many.go), and on
// MySQL one is tried first for a new row and for a finish (alone.go).
package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/reserve"
	"github.com/claimcheck-go/claimcheck/queue"
)

var _ queue.Store = (*Store)(nil)

// Config are the settings of a Store; the zero value is good.
type Config struct {
	// Now is the clock of SQLite, which lives in this process: time.Now by
	// default. MySQL has its own.
	Now func() time.Time
	// AcquireTimeout is how long a call waits for its turn on the database, and
	// how long making a connection may take, before it fails with
	// queue.ErrUnavailable; 5 s by default.
	AcquireTimeout time.Duration
	// Migrate makes Open bring the tables up to date.
	Migrate bool
	// Existing makes Open refuse a SQLite file that does not exist, instead of
	// creating it.
	Existing bool

	// MaxConns is the size of the pool of MySQL connections; 10 by default, and at
	// least 2: one connection is kept for heartbeats and for storing results.
	MaxConns int
	// DialFunc makes the connections to MySQL in place of plain TCP, and
	// encrypts them itself: the Cloud SQL connector's. The URL then gives only
	// user, password and database.
	DialFunc func(ctx context.Context, network, address string) (net.Conn, error)
	// Name says in messages what DialFunc connects to; by default that is host
	// and port.
	Name string
}

// Store is a queue.Store. It is safe for concurrent use.
type Store struct {
	config  Config
	dialect *dialect
	backend backend
	writer  *sql.DB // SQLite: one connection, since several would only fight for the lock
	reader  *sql.DB // the same as writer, except for an SQLite file
	reserve *reserve.Reserve
	closed  atomic.Bool
	observe func(ctx context.Context, op string) (ended func(error)) // nil: nobody does
}

// Embedded reports whether the database is a part of this process, which nobody
// else looks after: SQLite, and not MySQL.
func (s *Store) Embedded() bool { return s.dialect == &sqliteDialect }

// querier is a connection, in a transaction of write or without one, or a
// transaction of the caller's.
type querier struct {
	runner
	store   *Store
	locks   bool // in a transaction
	callers bool // which is a caller's
}

// runner is a *sql.Conn or a *sql.Tx.
type runner interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// write runs change in one transaction at the database's time now. Rows that
// load and list read in it are locked until its end. If another transaction
// was in the way and the database undid this one, change runs again.
func (s *Store) write(ctx context.Context, op string, change changer) error {
	return s.transaction(ctx, op, atNow(change))
}

// changer is what a transaction does at the database's time now.
type changer func(ctx context.Context, tx querier, now time.Time) error

// atNow asks for the time at the beginning of the transaction: what may have to
// wait for a row later on takes loadNow.
func atNow(change changer) work {
	return func(ctx context.Context, tx querier) error {
		now, err := tx.now(ctx)
		if err != nil {
			return err
		}
		return change(ctx, tx, now)
	}
}

// work is what a transaction does.
type work func(ctx context.Context, tx querier) error

// transaction is write without asking for the time.
func (s *Store) transaction(ctx context.Context, op string, do work) error {
	return s.on(ctx, s.writer, op, func(conn *sql.Conn) error { return s.repeat(ctx, conn, do) })
}

// urgently is transaction for a heartbeat, and for what ends a claim: it does not
// wait behind other calls.
func (s *Store) urgently(ctx context.Context, op string, do work) error {
	return s.with(ctx, s.writer, op, true, func(conn *sql.Conn) error { return s.repeat(ctx, conn, do) })
}

func (s *Store) repeat(ctx context.Context, conn *sql.Conn, do work) error {
	for start, try := time.Now(), 1; ; try++ {
		err := s.transact(ctx, querier{conn, s, true, false}, do)
		if err == nil || try == 10 || !s.backend.mayRepeat(err) || time.Since(start) > s.config.AcquireTimeout {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(time.Duration(try) * 5 * time.Millisecond)):
		}
	}
}

// errNotBegun marks the error of a transaction, or query, that had done nothing
// yet, or whose successor finds out what it did: it may be tried on another
// connection.
var errNotBegun = errors.New("nothing was done")

func (s *Store) transact(ctx context.Context, tx querier, do work) (err error) {
	calm := context.WithoutCancel(ctx)
	defer func() {
		if err != nil {
			ending, cancel := context.WithTimeout(calm, s.config.AcquireTimeout)
			defer cancel()
			_, _ = tx.ExecContext(ending, "ROLLBACK") // it fails when the error has ended the transaction already
		}
	}()
	if _, err := tx.ExecContext(ctx, s.dialect.begin); err != nil {
		return errors.Join(errNotBegun, err)
	}
	if s.Embedded() {
		ctx = calm // what follows takes microseconds
	}
	if err := do(ctx, tx); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "COMMIT")
	return err
}

// read runs one query, outside any transaction.
func (s *Store) read(ctx context.Context, op string, query func(conn querier) error) error {
	return s.on(ctx, s.reader, op, func(conn *sql.Conn) error {
		err := query(querier{conn, s, false, false})
		if err != nil && s.backend.broken(err) {
			err = errors.Join(errNotBegun, err)
		}
		return err
	})
}

// on is with for an ordinary call.
func (s *Store) on(ctx context.Context, db *sql.DB, op string, do func(*sql.Conn) error) error {
	return s.with(ctx, db, op, false, do)
}

// with runs do on a connection of db and translates its error. Connections that
// the server has closed in the meantime are replaced. An urgent call may take the
// connection that is kept for heartbeats and for what ends a claim.
func (s *Store) with(ctx context.Context, db *sql.DB, op string, urgent bool, do func(*sql.Conn) error) (err error) {
	if s.observe != nil {
		ended := s.observe(ctx, op)
		defer func() { ended(err) }()
	}
	for try := 0; ; try++ {
		if s.closed.Load() {
			return fmt.Errorf("%s: %w", op, queue.ErrClosed)
		}
		conn, release, err := s.acquire(ctx, db, op, urgent)
		if err != nil {
			return noEffect(err)
		}
		err = do(conn)
		broken := err != nil && s.backend.broken(err)
		if broken {
			_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // the pool forgets it
		}
		release()
		if again := broken && errors.Is(err, errNotBegun) && ctx.Err() == nil && try <= db.Stats().MaxOpenConnections; !again {
			translated := s.translate(ctx, op, withoutMark(err))
			if broken && !errors.Is(err, errNotBegun) {
				return translated // it may have committed
			}
			return noEffect(translated)
		}
	}
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

// withoutMark takes errNotBegun off.
func withoutMark(err error) error {
	if errors.Is(err, errNotBegun) {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			return joined.Unwrap()[1]
		}
	}
	return err
}

// acquire takes a connection of db, and returns what gives it back.
func (s *Store) acquire(ctx context.Context, db *sql.DB, op string, urgent bool) (conn *sql.Conn, release func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, s.config.AcquireTimeout)
	defer cancel()
	leave, err := s.reserve.Enter(waiting, urgent)
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
	return nil, nil, fmt.Errorf("%s: %w: no connection to %s within %s: it does not answer", op, queue.ErrUnavailable, s.backend.name(), s.config.AcquireTimeout)
}

// firstAnswer runs do, which makes a connection or is its first statement, and
// gives both together the acquire timeout: a proxy accepts connections while it
// has none to the server to give, and lets their first statement wait.
func (s *Store) firstAnswer(ctx context.Context, op string, do func(context.Context) error) error {
	server, ok := s.backend.(*mysqlServer)
	if !ok { // SQLite waits for its lock no longer than that
		return do(ctx)
	}
	limited, cancel := context.WithTimeout(ctx, s.config.AcquireTimeout)
	defer cancel()
	err := do(limited)
	if err == nil || ctx.Err() != nil || limited.Err() == nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	why := "it does not answer"
	if server.connector.accepted.Load() {
		why = "it accepted the connection and did not answer the first statement"
	}
	return fmt.Errorf("%s: %w: no connection to %s within %s: %s", op, queue.ErrUnavailable, s.backend.name(), s.config.AcquireTimeout, why)
}

// exhausted is the error of a call that got no connection in time.
func (s *Store) exhausted(db *sql.DB, op string) error {
	if s.Embedded() {
		return fmt.Errorf("%s: %w: no turn on %s within %s", op, queue.ErrContended, s.backend.name(), s.config.AcquireTimeout)
	}
	return fmt.Errorf("%s: %w to %s within %s: all %d are in use (DB_MAX_CONNS)", op, queue.ErrPoolExhausted, s.backend.name(), s.config.AcquireTimeout, db.Stats().MaxOpenConnections)
}

func (s *Store) translate(ctx context.Context, op string, err error) error {
	switch {
	case err == nil:
		return nil
	case s.closed.Load():
		return fmt.Errorf("%s: %w", op, queue.ErrClosed)
	}
	return s.backend.translate(ctx, op, err)
}

// now is the database's time, as precise as it is kept.
func (q querier) now(ctx context.Context) (now time.Time, err error) {
	if q.store.dialect.clock == "" {
		return q.store.now(), nil
	}
	err = q.QueryRowContext(ctx, "SELECT "+q.store.dialect.clock).Scan(at(&now))
	return now, err
}

// now is the time of a database within this process.
func (s *Store) now() time.Time { return s.config.Now().UTC().Truncate(time.Microsecond) }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	return s.read(ctx, "ping", func(conn querier) error {
		var one int
		return conn.QueryRowContext(ctx, "SELECT 1").Scan(&one)
	})
}

// Close closes the database. Calls under way finish; later ones answer
// queue.ErrClosed.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	if server, ok := s.backend.(*mysqlServer); ok {
		server.connector.kills.Wait()
	}
	if s.reader != s.writer {
		if err := s.reader.Close(); err != nil {
			return fmt.Errorf("close %s: %w", s.backend.name(), err)
		}
	}
	if err := s.writer.Close(); err != nil {
		return fmt.Errorf("close %s: %w", s.backend.name(), err)
	}
	return nil
}
