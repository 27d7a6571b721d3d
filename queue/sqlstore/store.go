// Package sqlstore keeps the rows of package queue in SQLite, through
// database/sql. It is what a fresh clone and a laptop run on: no server, one
// file.
//
// On the path enqueue → row → ticket → delivery → claim → run → finish it is
// the row, the claim and the finish. Every change works the same way: take the
// database's write lock, read the row, decide in Go, write its state back. The
// SQL is therefore plain, and what a claim or a finish means stands in Go
// (claim.go, finish.go).
package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

var _ queue.Store = (*Store)(nil)

// Config are the settings of a Store; the zero value is good.
type Config struct {
	// Now is the database's clock. SQLite lives in this process, so it is the
	// host's: time.Now by default.
	Now func() time.Time
	// AcquireTimeout is how long a call waits for its turn on the database
	// before it fails with queue.ErrUnavailable; 5 s by default.
	AcquireTimeout time.Duration
	// Migrate makes Open bring the tables up to date.
	Migrate bool
}

// Store is a queue.Store. It is safe for concurrent use.
type Store struct {
	config Config
	path   string  // of the database file, empty when it is in memory
	writer *sql.DB // one connection: several would only fight for the lock
	reader *sql.DB // the same as writer for a database in memory
	closed atomic.Bool
}

// querier is a connection or a transaction.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// write runs change in one transaction that holds the write lock from its
// start, at the database's time now. The context is watched until the lock is
// there; what follows takes microseconds and is not interrupted.
func (s *Store) write(ctx context.Context, op string, change func(ctx context.Context, tx querier, now time.Time) error) error {
	return s.on(ctx, s.writer, op, func(conn *sql.Conn) (err error) {
		calm := context.WithoutCancel(ctx)
		defer func() {
			if err != nil {
				_, _ = conn.ExecContext(calm, "ROLLBACK") // it fails when the error has ended the transaction already
			}
		}()
		if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
			return err
		}
		if err := change(calm, conn, s.now()); err != nil {
			return err
		}
		_, err = conn.ExecContext(calm, "COMMIT")
		return err
	})
}

// read runs one query, outside any transaction.
func (s *Store) read(ctx context.Context, op string, query func(conn querier) error) error {
	return s.on(ctx, s.reader, op, func(conn *sql.Conn) error { return query(conn) })
}

// on runs do on a connection of db and translates its error.
func (s *Store) on(ctx context.Context, db *sql.DB, op string, do func(*sql.Conn) error) error {
	if s.closed.Load() {
		return fmt.Errorf("%s: %w", op, queue.ErrClosed)
	}
	waiting, cancel := context.WithTimeout(ctx, s.config.AcquireTimeout)
	conn, err := db.Conn(waiting)
	late := waiting.Err() != nil
	cancel()
	if err == nil {
		err = do(conn)
		conn.Close()
	} else if late && ctx.Err() == nil {
		return fmt.Errorf("%s: %w: no turn on %s within %s", op, queue.ErrUnavailable, s.name(), s.config.AcquireTimeout)
	}
	return s.translate(ctx, op, err)
}

// now is the database's time, as precise as it is kept.
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
	if s.reader != s.writer {
		if err := s.reader.Close(); err != nil {
			return fmt.Errorf("close %s: %w", s.name(), err)
		}
	}
	if err := s.writer.Close(); err != nil {
		return fmt.Errorf("close %s: %w", s.name(), err)
	}
	return nil
}
