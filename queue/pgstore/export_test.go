package pgstore

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// NewWithTimeout is New with another AcquireTimeout.
func NewWithTimeout(pool *pgxpool.Pool, acquire time.Duration) *Store {
	s := New(pool)
	s.acquireTimeout = acquire
	return s
}

// Single sets whether a caller that is alone has a statement of its own.
func (s *Store) Single(single bool) {
	limits := defaultLimits
	limits.Single = single
	s.setBatching(limits)
}

// BatchAll makes every call a part of a batched statement, and sets how long others
// wait for one without an answer, and its own callers.
func (s *Store) BatchAll(patience, timeout time.Duration) {
	limits := defaultLimits
	limits.Single, limits.Patience, limits.Timeout = false, patience, timeout
	s.setBatching(limits)
}

// Listening reports whether a connection to the database waits for signals.
func (s *Store) Listening(ctx context.Context) (listening bool, err error) {
	err = s.on(ctx, "look for listeners", func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE query LIKE 'LISTEN %' AND state = 'idle' AND datname = current_database())`).Scan(&listening)
	})
	return listening, err
}

// NewCopyStream returns the stream that COPY reads.
var NewCopyStream = newCopyStream

// Stop ends the stream.
func (s *copyStream) Stop() { s.stop() }

// ShouldPing is the pool's hook.
var ShouldPing = shouldPing

// IsQuiet looks at the socket of an idle connection.
var IsQuiet = isQuiet

// OpenIdle opens a store whose connections count as idle for that long at each use.
func OpenIdle(t testing.TB, url string, idle time.Duration) *Store {
	config, err := Config{URL: url}.poolConfig()
	if err != nil {
		t.Fatal(err)
	}
	config.ShouldPing = func(ctx context.Context, p pgxpool.ShouldPingParams) bool {
		p.IdleDuration += idle
		return shouldPing(ctx, p)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return New(pool)
}

// Backends returns the process IDs of the pool's idle connections at the server.
func (s *Store) Backends(t testing.TB) (pids []uint32) {
	for _, conn := range s.pool.AcquireAllIdle(t.Context()) {
		pids = append(pids, conn.Conn().PgConn().PID())
		conn.Release()
	}
	return pids
}

// BreakIdle closes the sockets of the pool's idle connections, and counts them.
func (s *Store) BreakIdle(t testing.TB) (n int) {
	for _, conn := range s.pool.AcquireAllIdle(t.Context()) {
		_ = conn.Conn().PgConn().Conn().Close()
		conn.Release()
		n++
	}
	return n
}
