package pgstore

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
)

var _ queue.StateKeeper = (*Store)(nil)

// Statements about the documents. A document that another transaction has locked is about
// to change: it counts as changed.
const (
	stateQuery    = `SELECT document, version FROM claimcheck_state WHERE name = $1::text`
	newStateQuery = `INSERT INTO claimcheck_state (name, version, document) VALUES ($1::text, 1, $2::text) ON CONFLICT (name) DO NOTHING`
	setStateQuery = `UPDATE claimcheck_state SET version = version + 1, document = $2::text
WHERE name = (SELECT name FROM claimcheck_state WHERE name = $1::text AND version = $3::int8 FOR UPDATE SKIP LOCKED) AND version = $3::int8`
)

// State returns a document and its version.
func (s *Store) State(ctx context.Context, name string) (document []byte, version int64, err error) {
	err = s.on(ctx, "read a document", func(conn *pgx.Conn) error {
		var text string
		err := conn.QueryRow(ctx, stateQuery, name).Scan(&text, &version)
		if errors.Is(err, pgx.ErrNoRows) {
			document, version = nil, 0
			return nil
		}
		document = []byte(text)
		return err
	})
	return document, version, err
}

// SetState stores a document if its version has not changed.
func (s *Store) SetState(ctx context.Context, name string, document []byte, version int64) (stored bool, err error) {
	err = s.on(ctx, "store a document", func(conn *pgx.Conn) error {
		query, args := newStateQuery, []any{name, string(document)}
		if version > 0 {
			query, args = setStateQuery, append(args, version)
		}
		n, err := count(conn.Exec(ctx, query, args...))
		stored = n > 0
		return err
	})
	return stored, err
}
