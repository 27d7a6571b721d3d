package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// errUndo ends a transaction that shall leave nothing.
var errUndo = errors.New("undo")

// MissingRights lists what this user may not do with the tables and has to, such
// as "INSERT on claimcheck_tasks". It tries each on no row, in a transaction that
// is rolled back: servers check privileges all the same.
func (s *Store) MissingRights(ctx context.Context) (missing []string, err error) {
	err = s.write(ctx, "look at privileges", func(ctx context.Context, tx querier, _ time.Time) error {
		missing = nil
		for _, try := range []struct{ right, table, statement string }{
			{"SELECT", "claimcheck_tasks", "SELECT count(*) FROM claimcheck_tasks WHERE 1 = 0"},
			{"INSERT", "claimcheck_tasks", "INSERT INTO claimcheck_tasks (id) SELECT id FROM claimcheck_tasks WHERE 1 = 0"},
			{"UPDATE", "claimcheck_tasks", "UPDATE claimcheck_tasks SET attempts = 0 WHERE 1 = 0"},
			{"DELETE", "claimcheck_tasks", "DELETE FROM claimcheck_tasks WHERE 1 = 0"},
			{"UPDATE", "claimcheck_marks", "UPDATE claimcheck_marks SET name = name WHERE 1 = 0"},
		} {
			if _, err := tx.ExecContext(ctx, try.statement); err != nil {
				if s.backend.broken(err) || ctx.Err() != nil {
					return err
				}
				if !mayNot(err) { // whatever else is wrong about a statement of no row
					continue
				}
				missing = append(missing, fmt.Sprintf("%s on %s (%s)", try.right, try.table, oneLine(err)))
			}
		}
		return errUndo
	})
	if errors.Is(err, errUndo) {
		err = nil
	}
	return missing, err
}

// mysqlMayNot are a right on a table, or on a column, that is lacking.
var mysqlMayNot = []uint16{1142, 1143}

// mayNot reports whether the user, or the file, does not allow a statement.
func mayNot(err error) bool {
	var file *sqlite.Error
	return isMySQL(err, mysqlMayNot) || errors.As(err, &file) && file.Code()&0xff == sqlite3.SQLITE_READONLY
}

// CheckIntegrity looks through an SQLite file, and returns what is wrong with it:
// quickly, or, if full, its indexes against its tables too.
func (s *Store) CheckIntegrity(ctx context.Context, full bool) (problems []string, err error) {
	if !s.Embedded() {
		return nil, nil
	}
	pragma := "PRAGMA quick_check(10)"
	if full {
		pragma = "PRAGMA integrity_check(10)"
	}
	err = s.read(ctx, "check the file", func(conn querier) error {
		problems = nil
		return each(ctx, conn, func(scan func(...any) error) error {
			var text string
			err := scan(&text)
			if text != "ok" {
				problems = append(problems, text)
			}
			return err
		}, pragma)
	})
	return problems, err
}
