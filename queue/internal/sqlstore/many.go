package sqlstore

import (
	"context"
	"slices"
	"strings"
)

// A change of many rows is one statement for many of them: with a database some
// milliseconds away, one for each row takes longer than the callers wait, and after
// the rollback every retry would fail in the same way.

// manyRows is how many rows one statement changes, and one transaction that
// another one continues.
const manyRows = 500

// updateQuery changes n rows by their IDs, whatever their state: they must be
// locked, or set be followed by a condition of its own. Index: the primary key,
// named because reading a short table as a whole looks as cheap, and would wait for
// rows that another transaction has locked.
func (d *Dialect) updateQuery(set string, n int) string {
	return `UPDATE claimcheck_tasks` + d.byID + ` SET ` + set + ` WHERE id IN (` + marks(n) + `)`
}

// update changes rows that were read, and with that locked, in the same
// transaction.
func update(ctx context.Context, tx querier, ids []any, set string, args ...any) error {
	_, err := tx.ExecContext(ctx, tx.store.dialect.updateQuery(set, len(ids)), append(args, ids...)...)
	return err
}

// byRow is a value that differs between n rows: its parameters are pairs of an ID
// and the value of its row.
func byRow(n int) string { return `CASE id` + strings.Repeat(` WHEN ? THEN ?`, n) + ` END` }

// lockedIDs reads and locks the rows whose IDs a query finds, and skips those that
// another transaction has locked.
func lockedIDs(ctx context.Context, tx querier, query string, args ...any) (ids []any, err error) {
	err = each(ctx, tx, func(scan func(...any) error) error {
		var id string
		err := scan(&id)
		ids = append(ids, id)
		return err
	}, query+tx.store.dialect.lockRows, args...)
	return ids, err
}

// inChunks calls do with many of values at a time.
func inChunks[T any](values []T, do func(some []T) error) error {
	for some := range slices.Chunk(values, manyRows) {
		if err := do(some); err != nil {
			return err
		}
	}
	return nil
}

// anys are values as parameters.
func anys[T any](values []T) []any {
	list := make([]any, len(values))
	for i, value := range values {
		list[i] = value
	}
	return list
}
