package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// Tx is a caller's transaction in a database of this dialect; that of a nil tx is
// nil, and refused.
func (d *Dialect) Tx(tx *sql.Tx) queue.Tx {
	if tx == nil {
		return nil
	}
	return callersTx{tx, d}
}

type callersTx struct {
	*sql.Tx
	dialect *Dialect
}

// Transaction is the transaction itself.
func (t callersTx) Transaction() any { return t.Tx }

func (t callersTx) Commit(context.Context) error   { return t.Tx.Commit() }
func (t callersTx) Rollback(context.Context) error { return t.Tx.Rollback() }

// DB is the store's own pool, on which the caller may begin transactions. For
// SQLite it has one connection, the one that writes.
func (s *Store) DB() *sql.DB { return s.writer }

// InsertTx is Insert as a part of tx.
func (s *Store) InsertTx(ctx context.Context, tx queue.Tx, rows ...*queue.NewRow) error {
	const op = "insert tasks"
	var stored []inserted
	err := s.in(ctx, op, tx, atNow(func(ctx context.Context, q querier, now time.Time) (err error) {
		stored, err = insertGrouped(ctx, q, now, rows)
		return s.keyConflict(ctx, op, tx, rows, err)
	}))
	if err != nil {
		return err
	}
	copyBack(rows, stored)
	return nil
}

// keyConflict makes the failure of a statement about the keys of rows, which another
// transaction was in the way of tx, a queue.ErrConflict. Other errors, and those outside a
// caller's transaction, stay as they are.
func (s *Store) keyConflict(ctx context.Context, op string, tx queue.Tx, rows []*queue.NewRow, err error) error {
	if tx != nil && slices.ContainsFunc(rows, storekit.HasKey) && ctx.Err() == nil && (errors.Is(err, queue.ErrLocked) || s.backend.MayRepeat(err)) {
		return storekit.KeyConflict(op, err)
	}
	return err
}

// FinishTx is Finish as a part of tx.
func (s *Store) FinishTx(ctx context.Context, tx queue.Tx, claim queue.Claim, f queue.Finish) (at time.Time, err error) {
	err = s.in(ctx, "finish task", tx, func(ctx context.Context, tx querier) (err error) {
		at, err = finishIn(ctx, tx, claim, f)
		return err
	})
	return at, err
}

// in runs do in the caller's transaction and translates its error.
func (s *Store) in(ctx context.Context, op string, tx queue.Tx, do work) error {
	own, ok := tx.(callersTx)
	if !ok {
		return fmt.Errorf("%s: %w: tx must be what %s.Tx returns, not %T", op, queue.ErrInvalid, s.dialect.pkg, tx)
	}
	if own.dialect != s.dialect {
		return fmt.Errorf("%s: %w: tx must be what %s.Tx returns, not %s.Tx", op, queue.ErrInvalid, s.dialect.pkg, own.dialect.pkg)
	}
	if s.closed.Load() {
		return fmt.Errorf("%s: %w", op, queue.ErrClosed)
	}
	err := do(ctx, querier{own.Tx, s, true, true})
	if errors.Is(err, queue.ErrConflict) {
		return err
	}
	if errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("%s: %w: %w", op, queue.ErrInvalid, err)
	}
	if s.backend.Changed(err) {
		return fmt.Errorf("%s: %w: the row has changed since this transaction began (heartbeats renew the lease), which its isolation level does not allow: begin it with READ COMMITTED, or make this its first statement: %w", op, queue.ErrContended, err)
	}
	return s.translate(ctx, op, err)
}
