// Package sqlstore is what the stores sqlitestore and mysqlstore share: they keep
// the rows of package queue in SQLite, or in MySQL or MariaDB, through
// database/sql.
//
// On the path enqueue → row → ticket → delivery → claim → run → finish it is
// the row, the claim and the finish. Every change works the same way: lock the
// row (SQLite: the database), read it, decide in Go, write its state back. The
// SQL is therefore plain and the same for both, except for what [Dialect] names,
// and what a claim or a finish means is decided in Go (claim.go, finish.go). Where
// many rows are changed in the same way, one statement writes them (many.go), and
// on MySQL one statement is tried first for a new row and for a finish
// (mysqlfast.go). It imports no driver: those are behind [Backend].
package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

var _ interface {
	queue.Store
	queue.Operator
	queue.Pooled
} = (*Store)(nil)

// Options are what a Store is made of. Dialect, Backend, Writer and Reader are
// required.
type Options struct {
	Dialect *Dialect
	Backend Backend
	// Writer and Reader are the pools; they may be the same. SQLite has one
	// connection that writes, since several would only compete for the lock.
	Writer, Reader *sql.DB
	// Reserve keeps a connection for urgent calls; nil: none is kept.
	Reserve *storekit.Reserve
	// Now is the clock of a database within this process; nil is time.Now.
	Now func() time.Time
	// AcquireTimeout bounds the wait for a connection; 0 is DefaultAcquireTimeout.
	AcquireTimeout time.Duration
	// Isolate is executed before each transaction, for connections whose session
	// may have another isolation level than the statements rely on; empty: nothing.
	Isolate string
	// Observe is called when a call begins, and what it returns when that has
	// ended; it may be nil.
	Observe func(ctx context.Context, op string) (ended func(error))
	// PoolSetting names in messages the setting that is the size of the pool.
	PoolSetting string
}

// DefaultAcquireTimeout is how long a call waits for a free connection.
const DefaultAcquireTimeout = 5 * time.Second

// Store is a queue.Store. It is safe for concurrent use.
type Store struct {
	options Options
	dialect *Dialect
	backend Backend
	writer  *sql.DB
	reader  *sql.DB
	reserve *storekit.Reserve
	closed  atomic.Bool
}

// New returns a Store. It contacts nothing.
func New(o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.AcquireTimeout == 0 {
		o.AcquireTimeout = DefaultAcquireTimeout
	}
	if o.Reserve == nil {
		o.Reserve = &storekit.Reserve{}
	}
	return &Store{options: o, dialect: o.Dialect, backend: o.Backend, writer: o.Writer, reader: o.Reader, reserve: o.Reserve}
}

// embedded reports whether the database is a part of this process.
func (s *Store) embedded() bool { return s.dialect.embedded }

// querier is a connection, in a transaction of write or without one, or a
// transaction of the caller's.
type querier struct {
	Conn
	store   *Store
	locks   bool // in a transaction
	callers bool // which is a caller's
}

// Conn is a *sql.Conn or a *sql.Tx.
type Conn interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// write runs change in one transaction at the database's time now. Rows that
// load and list read in it are locked until its end. If the database rolls it back
// because of another transaction, change runs again.
func (s *Store) write(ctx context.Context, op string, change changer) error {
	return s.transaction(ctx, op, atNow(change))
}

// changer is what a transaction does at the database's time now.
type changer func(ctx context.Context, tx querier, now time.Time) error

// atNow reads the time at the beginning of the transaction; a change that may have
// to wait for a row uses loadNow.
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

// urgently is transaction for heartbeats and for ending claims: it does not wait for
// other calls.
func (s *Store) urgently(ctx context.Context, op string, do work) error {
	return s.with(ctx, s.writer, op, true, func(conn *sql.Conn) error { return s.repeat(ctx, conn, do) })
}

func (s *Store) repeat(ctx context.Context, conn *sql.Conn, do work) error {
	for start, try := time.Now(), 1; ; try++ {
		err := s.transact(ctx, querier{conn, s, true, false}, do)
		if err == nil || try == 10 || !s.backend.MayRepeat(err) || time.Since(start) > s.options.AcquireTimeout {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(time.Duration(try) * 5 * time.Millisecond)):
		}
	}
}

// errNotBegun marks the error of a transaction or query that has changed nothing,
// or whose retry finds out what it changed: it may be retried on another connection.
var errNotBegun = errors.New("nothing was done")

func (s *Store) transact(ctx context.Context, tx querier, do work) (err error) {
	uncancelled := context.WithoutCancel(ctx)
	defer func() {
		if err != nil {
			ending, cancel := context.WithTimeout(uncancelled, s.options.AcquireTimeout)
			defer cancel()
			_, _ = tx.ExecContext(ending, "ROLLBACK") // it fails when the error has ended the transaction already
		}
	}()
	if s.options.Isolate != "" {
		if _, err := tx.ExecContext(ctx, s.options.Isolate); err != nil {
			return errors.Join(errNotBegun, err)
		}
	}
	if _, err := tx.ExecContext(ctx, s.dialect.begin); err != nil {
		return errors.Join(errNotBegun, err)
	}
	if s.embedded() {
		ctx = uncancelled // what follows takes microseconds
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
		if err != nil && s.backend.Broken(err) {
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

// now is the database's time, as precise as it is kept.
func (q querier) now(ctx context.Context) (now time.Time, err error) {
	if q.store.dialect.clock == "" {
		return q.store.now(), nil
	}
	err = q.QueryRowContext(ctx, "SELECT "+q.store.dialect.clock).Scan(at(&now))
	return now, err
}

// now is the time of a database within this process.
func (s *Store) now() time.Time { return s.options.Now().UTC().Truncate(time.Microsecond) }

// FirstAnswer runs the first query on a new store: making the connection and
// answering share the acquire timeout.
func FirstAnswer(ctx context.Context, s *Store, query func(context.Context, Conn) error) error {
	return s.firstAnswer(ctx, "open", func(ctx context.Context) error {
		return s.read(ctx, "open", func(conn querier) error { return query(ctx, conn) })
	})
}

// Begin begins a transaction that may write, and commits it.
func Begin(ctx context.Context, s *Store) error {
	return s.write(ctx, "open", func(context.Context, querier, time.Time) error { return nil })
}

// Read runs query outside any transaction.
func Read(ctx context.Context, s *Store, op string, query func(Conn) error) error {
	return s.read(ctx, op, func(conn querier) error { return query(conn) })
}

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
	s.backend.Wait()
	if s.reader != s.writer {
		if err := s.reader.Close(); err != nil {
			return fmt.Errorf("close %s: %w", s.backend.Name(), err)
		}
	}
	if err := s.writer.Close(); err != nil {
		return fmt.Errorf("close %s: %w", s.backend.Name(), err)
	}
	return nil
}
