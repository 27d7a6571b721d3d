package pgstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
)

// lockMigrations excludes other processes with an advisory lock, and returns the
// database in which to migrate: one connection, in the transaction that holds the
// lock. The lock belongs to a transaction and not to a session, so that it works
// through a transaction pooler and is always released. The migrations run in the same
// transaction, so that a pooler with a single server connection is enough. Processes
// that wait for the lock have open transactions, so no migration can use CREATE INDEX
// CONCURRENTLY (see 00002).
func (s *Store) lockMigrations(ctx context.Context) (_ *sql.DB, unlock func(commit bool) error, err error) {
	db := sql.OpenDB(&lockedConnector{Connector: stdlib.GetPoolConnector(s.pool)})
	db.SetMaxOpenConns(1) // it stays in its transaction from one statement to the next
	db.SetMaxIdleConns(1)
	unlock = func(commit bool) error {
		defer db.Close()
		if !commit {
			return nil // a connection released in a transaction is closed
		}
		_, err := db.ExecContext(ctx, "COMMIT")
		return err
	}
	if err := s.firstAnswer(ctx, "lock the schema", func(ctx context.Context) error {
		// Each statement must see the changes of the process that held the lock before.
		_, err := db.ExecContext(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED")
		return err
	}); err != nil {
		_ = unlock(false)
		return nil, nil, err
	}
	if err := takeLock(ctx, db); err != nil {
		_ = unlock(false)
		return nil, nil, err
	}
	return db, unlock, nil
}

// migrationLockWait is how long a migration waits for a table that another
// transaction has locked: later statements on the table queue up behind it.
const migrationLockWait = "10s"

// takeLock polls for the lock until ctx ends.
func takeLock(ctx context.Context, db *sql.DB) error {
	for _, setting := range []string{"idle_in_transaction_session_timeout = 0", "statement_timeout = 0", "lock_timeout = '" + migrationLockWait + "'"} {
		if _, err := db.ExecContext(ctx, "SET LOCAL "+setting); err != nil {
			return err
		}
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var locked bool
		err := db.QueryRowContext(ctx, "SELECT pg_try_advisory_xact_lock(hashtextextended('claimcheck_schema ' || current_schema(), 0))").Scan(&locked)
		if err != nil || locked {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lockedConnector makes a single connection, whose transactions are savepoints of the
// one that holds the lock.
type lockedConnector struct {
	driver.Connector
	used atomic.Bool
}

// Connect fails the second time, because nothing may be migrated without the lock.
func (c *lockedConnector) Connect(ctx context.Context) (driver.Conn, error) {
	if c.used.Swap(true) {
		return nil, errors.New("the connection that held the lock was lost")
	}
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	pgx, ok := conn.(*stdlib.Conn)
	if !ok {
		return nil, fmt.Errorf("unexpected connection %T", conn)
	}
	return lockedConn{pgx}, nil
}

type lockedConn struct{ *stdlib.Conn }

// ResetSession leaves the transaction open, which stdlib would treat as a mistake.
func (lockedConn) ResetSession(context.Context) error { return nil }

const savepointName = "claimcheck_migration"

// BeginTx sets a savepoint.
func (c lockedConn) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	_, err := c.ExecContext(ctx, "SAVEPOINT "+savepointName, nil)
	return savepoint{ctx, c}, err
}

type savepoint struct {
	ctx  context.Context //nolint:containedctx // driver.Tx has no parameter for it
	conn lockedConn
}

func (s savepoint) Commit() error {
	_, err := s.conn.ExecContext(s.ctx, "RELEASE SAVEPOINT "+savepointName, nil)
	return err
}

func (s savepoint) Rollback() error {
	_, err := s.conn.ExecContext(s.ctx, "ROLLBACK TO SAVEPOINT "+savepointName, nil)
	return err
}
