package pgstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// Open opens a database. Unless config.Migrate is set, call [Store.Migrate] before
// the first use. Open refuses a database with synchronous_commit off, which loses
// acknowledged tasks in a crash.
//
// The error of a server that is down, or does not admit the user, is one line that
// says what to check, and is [queue.ErrUnavailable]. No error contains the password.
// A pool of the caller's stays open after an error.
func Open(ctx context.Context, config Config) (*Store, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	s, err := config.connect(ctx)
	if err != nil || config.Unchecked {
		return s, err
	}
	err = s.checkDatabase(ctx)
	if err == nil && config.Migrate {
		_, err = s.Migrate(ctx)
	}
	if err != nil {
		if config.Pool == nil {
			s.abandon()
		}
		return nil, err
	}
	return s, nil
}

// New returns a Store on a pool of the caller's, which [Store.Close] closes. Its
// connections keep their settings: on those of [Open], plan_cache_mode is
// force_generic_plan, the planner only uses indexes and nested loops, and the isolation
// level is READ COMMITTED. With another default level, each transaction of the store names its own from the first serialization
// failure on, which costs two round trips more. New panics if pool is nil;
// Open with Config.Pool takes further settings.
func New(pool *pgxpool.Pool) *Store {
	if pool == nil {
		panic("pgstore: New: the pool is nil: check the error of pgxpool.New")
	}
	return Config{Pool: pool}.store(pool)
}

// connect contacts nothing yet.
func (c Config) connect(ctx context.Context) (*Store, error) {
	if c.Pool != nil {
		return c.store(c.Pool), nil
	}
	config, err := c.poolConfig()
	if err != nil {
		return nil, err
	}
	accepted := new(atomic.Bool)
	afterConnect := config.AfterConnect
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		accepted.Store(true)
		if afterConnect == nil {
			return nil
		}
		return afterConnect(ctx, conn)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open PostgreSQL: %w", err)
	}
	s := c.store(pool)
	s.accepted, s.sessionSet = accepted, !c.Pooler
	return s, nil
}

// abandon closes a store that could not be opened. A connection that waits for a
// pooler takes 15 s to close, which happens in the background.
func (s *Store) abandon() {
	const patience = time.Second
	closed := make(chan struct{})
	go func() { defer close(closed); _ = s.Close() }()
	select {
	case <-closed:
	case <-time.After(patience):
	}
}

// checkDatabase makes the first connection, and refuses a database that
// acknowledges rows before they are safe, or has no schema for the tables.
func (s *Store) checkDatabase(ctx context.Context) error {
	var setting string
	err := s.firstAnswer(ctx, "open PostgreSQL", func(ctx context.Context) error {
		return s.on(ctx, "open PostgreSQL", func(conn *pgx.Conn) error {
			return s.readSettings(ctx, conn, &setting)
		})
	})
	if err != nil {
		return err
	}
	if setting == "off" {
		conn := s.pool.Config().ConnConfig
		return fmt.Errorf("open %s: synchronous_commit is off there, so a crash of the server loses acknowledged tasks: set it to on (in postgresql.conf, or by ALTER DATABASE %s SET synchronous_commit = on, or ALTER ROLE %s …)",
			s.where(), conn.Database, conn.User)
	}
	return nil
}

// readSettings reads what decides whether a database can be used at all. It refuses
// a search_path without a schema that exists and that the user may use: PostgreSQL
// would neither find the tables nor create them.
func (s *Store) readSettings(ctx context.Context, conn *pgx.Conn, synchronousCommit *string) error {
	var schema *string
	var path, user string
	err := conn.QueryRow(ctx, "SELECT current_setting('synchronous_commit'), current_schema(), current_setting('search_path'), current_user").
		Scan(synchronousCommit, &schema, &path, &user)
	if err != nil || schema != nil {
		return err
	}
	quoted := pgx.Identifier{user}.Sanitize()
	return fmt.Errorf("open %s: the search_path (%s) has no schema that exists and that this user may use: create the schema (CREATE SCHEMA … AUTHORIZATION %s), or GRANT USAGE, CREATE ON SCHEMA … TO %s, or correct search_path (in the URL's parameters, or ALTER ROLE %s SET search_path = …)",
		s.where(), path, quoted, quoted, quoted)
}

// firstAnswer runs do, which makes a connection or is its first statement, and
// bounds both together by the acquire timeout: a pooler accepts connections while
// it has no free connection to the server, and delays their first statement.
func (s *Store) firstAnswer(ctx context.Context, op string, do func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, s.acquireTimeout)
	defer cancel()
	err := do(limited)
	if err == nil || ctx.Err() != nil || limited.Err() == nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	why := "it does not answer"
	switch {
	case s.accepted.Load() && s.pooler:
		why = "the pooler accepts connections and has none to the server to give (PgBouncer: SHOW POOLS says how many clients wait, default_pool_size how many are served)"
	case s.accepted.Load():
		why = "it accepted the connection and did not answer the first statement; if a pooler sits in between, it may have no connection to the server to give"
	}
	return storekit.Outage(fmt.Sprintf("%s: %s: no connection to %s within %s: %s", op, queue.ErrUnavailable, s.where(), s.acquireTimeout, why), queue.ErrUnavailable, err)
}

// store is a Store on a pool.
func (c Config) store(pool *pgxpool.Pool) *Store {
	conn := pool.Config().ConnConfig
	s := &Store{
		pool:           pool,
		server:         cmp.Or(c.Name, serverName(conn.Host, conn.Port)),
		setting:        c.setting,
		dialFunc:       c.DialFunc != nil,
		pooler:         c.Pooler,
		accepted:       new(atomic.Bool),
		acquireTimeout: cmp.Or(c.AcquireTimeout, DefaultAcquireTimeout),
		reserve:        storekit.NewReserve(int(pool.Config().MaxConns)),
		observe:        c.Observe,
		counts:         defaultCounts,
		figures:        figureRows,
	}
	s.setBatching(defaultLimits)
	return s
}
