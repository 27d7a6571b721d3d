package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"time"
)

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
		if err == nil || try == 10 || !s.backend.MayRepeat(err) && !errors.Is(err, errJustPaused) || time.Since(start) > s.options.AcquireTimeout {
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
