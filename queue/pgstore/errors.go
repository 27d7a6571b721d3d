package pgstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// translate returns the driver's errors as those of package queue, and others
// unchanged.
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
		return storekit.Outage(op+": "+s.where()+": "+contention(pgErr), queue.ErrContended, err)
	case isUnavailable(pgErr.Code):
		return s.unavailable(ctx, op, err)
	}
	switch pgErr.Code {
	case tooOld:
		return fmt.Errorf("%s: %w: %s", op, queue.ErrOutdated, pgErr.Message)
	case pgerrcode.ProgramLimitExceeded: // a value of a gigabyte
		return fmt.Errorf("%s: %w: %w", op, queue.ErrTooLarge, err)
	case pgerrcode.InvalidSQLStatementName, pgerrcode.DuplicatePreparedStatement:
		return fmt.Errorf("%s: %w (if a transaction pooler sits before the database, set %s)", op, err, s.setting("Pooler"))
	case pgerrcode.UndefinedTable, pgerrcode.UndefinedColumn, pgerrcode.InvalidSchemaName:
		return fmt.Errorf("%s: %w (call Store.Migrate): %w", op, queue.ErrSchema, err)
	}
	return fmt.Errorf("%s: %w", op, err)
}

// unavailable is the error of a database that could not do its work, unless the
// caller's context, or Close, was what stopped it.
func (s *Store) unavailable(ctx context.Context, op string, err error) error {
	switch {
	case s.closed.Load():
		return fmt.Errorf("%s: %w", op, queue.ErrClosed)
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	return storekit.Outage(op+": "+queue.ErrUnavailable.Error()+": "+s.explain(err), queue.ErrUnavailable, err)
}

// tooOld is the code with which a trigger refuses the claims of a program that is too old.
const tooOld = "CC001"

// transactionTimeout ended a transaction (PostgreSQL 17 and later).
const transactionTimeout = "25P04"

// isContended reports whether the server stopped a statement because of other
// transactions or of a time limit, and is otherwise in order.
func isContended(code string) bool {
	switch code {
	case pgerrcode.SerializationFailure, pgerrcode.DeadlockDetected, pgerrcode.LockNotAvailable,
		pgerrcode.QueryCanceled, // by statement_timeout
		transactionTimeout:
		return true
	}
	return false
}

// isUnavailable reports whether an error is about the state of the server, which
// passes or which an administrator ends, and not about the request.
func isUnavailable(code string) bool {
	switch class := code[:2]; class {
	case pgerrcode.ConnectionException[:2], pgerrcode.TransactionRollback[:2],
		pgerrcode.InsufficientResources[:2], // out of disk, memory, connections
		pgerrcode.OperatorIntervention[:2],  // shutdown, crash
		pgerrcode.SystemError[:2]:           // I/O
		return true
	}
	return code == pgerrcode.ReadOnlySQLTransaction || code == pgerrcode.IdleInTransactionSessionTimeout
}

func isCode(err error, code string) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == code
}

// isStalePlan reports whether a migration changed a table that a prepared statement
// uses. The driver has forgotten that statement by now.
func isStalePlan(err error) bool {
	return isCode(err, pgerrcode.FeatureNotSupported) && strings.Contains(err.Error(), "cached plan")
}
