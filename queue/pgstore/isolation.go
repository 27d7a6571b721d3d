package pgstore

import (
	"context"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
)

// Every statement of the store relies on READ COMMITTED: it looks again at a row
// that has changed since it began. A role or a database may have another default
// (default_transaction_isolation), so that the store's own connections set it
// (session, in open.go). Through a transaction pooler nothing can be set for a
// session. There each transaction names its level, from the first statement on
// that failed because of the default: this costs two round trips more, and
// a database with PostgreSQL's own default does not pay them.

var readCommitted = pgx.TxOptions{IsoLevel: pgx.ReadCommitted}

// mustIsolate reports whether err came from the isolation level of the session,
// which explicit transactions do not have, and has the next ones be explicit.
func (s *Store) mustIsolate(err error, u use, explicit bool) bool {
	if s.sessionSet || explicit || u.ownTransaction || !isCode(err, pgerrcode.SerializationFailure) {
		return false
	}
	s.explicit.Store(true)
	return true
}

// isolated runs do, in a transaction that names its isolation level if need be.
// What do has written stays written, also if it ends with an error that is not
// the database's: without that transaction each of its statements would have
// been one.
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
		_ = tx.Rollback(ctx) // if that fails too, the pool throws the connection away
		return err
	}
	if commitErr := tx.Commit(ctx); commitErr != nil {
		return commitErr
	}
	return err
}
