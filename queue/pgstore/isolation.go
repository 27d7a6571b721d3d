package pgstore

import (
	"context"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
)

// Every statement of the store relies on READ COMMITTED, which evaluates its
// conditions again on a row that has changed since the statement began. A role or a
// database may have another default (default_transaction_isolation), so the store's
// own connections set it (session, in config.go). Through a transaction pooler nothing
// can be set for a session. There each transaction names its level, after the first
// statement that failed because of the default. This costs two round trips more, which
// a database with PostgreSQL's own default does not pay.

var readCommitted = pgx.TxOptions{IsoLevel: pgx.ReadCommitted}

// mustIsolate reports whether err came from the isolation level of the session, and
// makes the next transactions name theirs.
func (s *Store) mustIsolate(err error, u use, explicit bool) bool {
	if s.sessionSet || explicit || u.ownTransaction || !isCode(err, pgerrcode.SerializationFailure) {
		return false
	}
	s.explicit.Store(true)
	return true
}

// isolated runs do, if explicit in a transaction that names its isolation level. What
// do has written is committed even if it returns an error that is not the database's:
// without that transaction each of its statements would have been one.
func (s *Store) isolated(ctx context.Context, conn *pgx.Conn, u use, explicit bool, do func(*pgx.Conn) error) error {
	if u.ownTransaction || !explicit {
		return do(conn)
	}
	tx, err := conn.BeginTx(ctx, readCommitted)
	if err != nil {
		return err
	}
	const failed = 'E'
	err = do(conn)
	if err != nil && (conn.IsClosed() || conn.PgConn().TxStatus() == failed) {
		_ = tx.Rollback(ctx) // if that fails too, the pool closes the connection
		return err
	}
	if commitErr := tx.Commit(ctx); commitErr != nil {
		return commitErr
	}
	return err
}
