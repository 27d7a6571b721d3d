package pgstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// Tx makes a pgx transaction what [queue.Client.InTx], [queue.Client.EnqueueTx] and
// [queue.CompleteTx] take. It must be in the database, and see the schema, of the
// Client's Store; it may be of another pool. Tx of a nil tx is nil, which the calls
// refuse.
func Tx(tx pgx.Tx) queue.Tx {
	if tx == nil {
		return nil
	}
	return callersTx{tx}
}

type callersTx struct{ pgx.Tx }

// Transaction returns the connection, which has one transaction at a time, with its
// savepoints.
func (t callersTx) Transaction() any { return t.Conn() }

// InsertTx is [Store.Insert] as a part of tx.
func (s *Store) InsertTx(ctx context.Context, tx queue.Tx, rows ...*queue.NewRow) error {
	const op = "insert tasks"
	var stored []inserted
	err := s.in(ctx, op, tx, func(tx pgx.Tx) (err error) {
		stored, err = s.insertGrouped(ctx, tx, true, rows)
		return keyConflict(ctx, op, rows, err)
	})
	return copyBack(rows, err, stored...)
}

// keyConflict makes the failure of a statement about the keys of rows, which another
// transaction was in the way of, a queue.ErrConflict; it returns other errors as they are.
func keyConflict(ctx context.Context, op string, rows []*queue.NewRow, err error) error {
	if slices.ContainsFunc(rows, storekit.HasKey) && ctx.Err() == nil && inTheWay(err) {
		return storekit.KeyConflict(op, err)
	}
	return err
}

// inTheWay reports whether another transaction made an insert fail.
func inTheWay(err error) bool {
	var pgErr *pgconn.PgError
	return errors.Is(err, queue.ErrLocked) || errors.As(err, &pgErr) && isContended(pgErr.Code)
}

// FinishTx is [Store.Finish] as a part of tx.
func (s *Store) FinishTx(ctx context.Context, tx queue.Tx, claim queue.Claim, f queue.Finish) (at time.Time, err error) {
	err = s.in(ctx, "finish task", tx, func(tx pgx.Tx) error {
		at, err = finish(ctx, tx, finishTxQuery, claim, f)
		return err
	})
	return at, err
}

// in runs do in the caller's transaction and translates its error.
func (s *Store) in(ctx context.Context, op string, tx queue.Tx, do func(pgx.Tx) error) error {
	own, ok := tx.(callersTx)
	if !ok {
		return fmt.Errorf("%s: %w: tx must be what pgstore.Tx returns, not %T", op, queue.ErrInvalid, tx)
	}
	err := do(own.Tx)
	if errors.Is(err, queue.ErrConflict) {
		return err
	}
	if errors.Is(err, pgx.ErrTxClosed) {
		return fmt.Errorf("%s: %w: %w", op, queue.ErrInvalid, err)
	}
	if isCode(err, pgerrcode.SerializationFailure) && strings.Contains(err.Error(), "concurrent") { // a conflict about a row, and not one between other statements
		return fmt.Errorf("%s: %w: the row has changed since this transaction began (heartbeats renew the lease), which its isolation level does not allow: begin it with READ COMMITTED, or make this its first statement: %w", op, queue.ErrContended, err)
	}
	if err != nil && own.Conn().IsClosed() {
		return s.unavailable(ctx, op, err)
	}
	if err = s.translate(ctx, op, err); errors.Is(err, queue.ErrContended) {
		return fmt.Errorf("%w: roll the transaction back and repeat it", err)
	}
	return err
}
