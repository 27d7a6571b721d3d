// Package pgstore stores the rows of package queue in PostgreSQL, through pgx.
//
//	store, err := pgstore.Open(ctx, pgstore.Config{URL: "postgres://user:password@host/name", Migrate: true})
//
// On the path enqueue → row → ticket → delivery → claim → run → finish it is the
// row, the claim and the finish. Each of these is one statement, and so is
// everything else that happens often; concurrent calls share statements. The
// statements contain their conditions, so that the database alone keeps concurrent
// callers apart, in this process and in others. Go code asks for the reason only when
// a statement has changed nothing.
//
// [Open] makes a pool, [New] uses one of the caller's, and [Tx] makes enqueuing and
// completing tasks a part of a pgx transaction.
package pgstore

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
	"github.com/claimcheck-go/claimcheck/queue/pgstore/internal/batch"
)

var (
	_ queue.Store    = (*Store)(nil)
	_ queue.Operator = (*Store)(nil)
	_ queue.Pooled   = (*Store)(nil)
)

// Store is a [queue.Store], a [queue.Operator], a [queue.Waker] and [queue.Pooled] on
// PostgreSQL. It is safe for concurrent use.
type Store struct {
	pool           *pgxpool.Pool
	server         string                    // for messages
	setting        func(field string) string // for messages
	dialFunc       bool                      // connections are made by Config.DialFunc
	pooler         bool                      // Config.Pooler
	accepted       *atomic.Bool              // a connection was made once
	acquireTimeout time.Duration
	closed         atomic.Bool
	reserve        *storekit.Reserve
	sessionSet     bool                                                     // connections have the settings of session
	explicit       atomic.Bool                                              // transactions name their isolation level: see isolation.go
	keyIndex       atomic.Bool                                              // the table has the index that keys need
	observe        func(ctx context.Context, op string) (ended func(error)) // may be nil

	// Concurrent calls share statements.
	inserts  *batch.Batcher[*queue.NewRow, inserted]
	claims   *batch.Batcher[claimOf, *queue.Row]
	finishes *batch.Batcher[finishOf, time.Time]

	limits atomic.Bool // there are limits, as the last look at them saw it
	lane   laneCursor
	hints  scanHints
	counts countLimits
	// figures is how many rows of each status one step counts.
	figures int
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	return s.on(ctx, "ping", func(conn *pgx.Conn) error { return conn.Ping(ctx) })
}

// PgxPool returns the store's pool, on which the caller may begin transactions for
// [Tx]. One of its connections is kept for heartbeats and for storing results.
func (s *Store) PgxPool() *pgxpool.Pool { return s.pool }

// Close closes the pool, and waits for the calls in progress. Later ones return
// [queue.ErrClosed].
func (s *Store) Close() error {
	s.closed.Store(true)
	s.pool.Close()
	return nil
}

// Pool returns how the connections are used.
func (s *Store) Pool() queue.PoolStats {
	stats := s.pool.Stat()
	waits, waited := s.reserve.Waits()
	return queue.PoolStats{
		Max: int(stats.MaxConns()), InUse: int(stats.AcquiredConns()), Idle: int(stats.IdleConns()),
		Waits: stats.EmptyAcquireCount() + waits, Waited: stats.EmptyAcquireWaitTime() + waited,
	}
}
