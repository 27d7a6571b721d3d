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
// (fast.go). It imports no driver: those are behind [Backend].
package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
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
	turns   *storekit.Reserve // of the writer of an embedded database
	closed  atomic.Bool
	lane    laneCursor
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
	s := &Store{options: o, dialect: o.Dialect, backend: o.Backend, writer: o.Writer, reader: o.Reader, reserve: o.Reserve, turns: &storekit.Reserve{}}
	if n := o.Writer.Stats().MaxOpenConnections; n > 0 && s.embedded() {
		s.turns = storekit.NewTurns(n)
	}
	return s
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
