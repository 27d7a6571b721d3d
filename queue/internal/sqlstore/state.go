package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/claimcheck-go/claimcheck/queue"
)

var _ queue.StateKeeper = (*Store)(nil)

// State returns a document and its version.
func (s *Store) State(ctx context.Context, name string) (document []byte, version int64, err error) {
	err = s.read(ctx, "read a document", func(conn querier) error {
		var text string
		err := conn.QueryRowContext(ctx, `SELECT document, version FROM claimcheck_state WHERE name = ?`, name).Scan(&text, &version)
		if errors.Is(err, sql.ErrNoRows) {
			document, version = nil, 0
			return nil
		}
		document = []byte(text)
		return err
	})
	return document, version, err
}

// SetState stores a document if its version has not changed. One that another transaction
// has locked is about to change.
func (s *Store) SetState(ctx context.Context, name string, document []byte, version int64) (stored bool, err error) {
	err = s.transaction(ctx, "store a document", func(ctx context.Context, tx querier) error {
		stored = false
		if version == 0 {
			var known int64
			err := tx.QueryRowContext(ctx, `SELECT version FROM claimcheck_state WHERE name = ?`, name).Scan(&known)
			if !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			_, err = tx.ExecContext(ctx, `INSERT INTO claimcheck_state (name, version, document) VALUES (?, 1, ?)`, name, string(document))
			if err != nil && s.backend.Duplicate(err) {
				return nil
			}
			stored = err == nil
			return err
		}
		free, err := lockedIDs(ctx, tx, `SELECT name FROM claimcheck_state WHERE name = ? AND version = ?`, name, version)
		if err != nil || len(free) == 0 {
			return err
		}
		result, err := tx.ExecContext(ctx, `UPDATE claimcheck_state SET version = version + 1, document = ? WHERE name = ? AND version = ?`, string(document), name, version)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		stored = n > 0
		return err
	})
	return stored, err
}
