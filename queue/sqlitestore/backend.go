package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/claimcheck-go/claimcheck/queue"
)

// file is the [sqlstore.Backend] of a database.
type file struct {
	path string  // empty for one in memory, and unknown in a pool of the caller's
	db   *sql.DB // the connections that write
}

// Name names the database in messages.
func (f file) Name() string {
	switch {
	case f.path != "":
		return "SQLite database " + f.path
	default:
		return "SQLite database in memory"
	}
}

// Translate makes the driver's errors those of package queue.
func (f file) Translate(ctx context.Context, op string, err error) error {
	var failure *sqlite.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", op, err)
	case !errors.As(err, &failure):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", op, ctx.Err())
	case f.TableMissing(err):
		return fmt.Errorf("%s: %w (call Store.Migrate): %w", op, queue.ErrSchema, err)
	}
	if failure.Code() == sqlite3.SQLITE_CONSTRAINT_TRIGGER {
		return fmt.Errorf("%s: %w: %w", op, queue.ErrOutdated, err)
	}
	switch failure.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("%s: %w: %s: another connection, maybe of another process, keeps it locked: %w", op, queue.ErrContended, f.Name(), err)
	case sqlite3.SQLITE_TOOBIG:
		return fmt.Errorf("%s: %w: %s: %w", op, queue.ErrTooLarge, f.Name(), err)
	case sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_FULL,
		sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_INTERRUPT:
		return fmt.Errorf("%s: %w: %s: %w", op, queue.ErrUnavailable, f.Name(), err)
	}
	return fmt.Errorf("%s: %s: %w", op, f.Name(), err)
}

// Duplicate is false: the statements ask SQLite to ignore a duplicate.
func (file) Duplicate(error) bool { return false }

// DuplicateID is false, too.
func (file) DuplicateID(error) bool { return false }

// MayRepeat is false: there are no deadlocks.
func (file) MayRepeat(error) bool { return false }

// Locked reports nothing: rows are not locked.
func (file) Locked(error) bool { return false }

// Changed is false: a transaction has the database to itself.
func (file) Changed(error) bool { return false }

// Broken is false: there is no connection to lose.
func (file) Broken(error) bool { return false }

// Accepted is true: there is no server.
func (file) Accepted() bool { return true }

// Wait returns at once: nothing runs in the background.
func (file) Wait() {}

// Forbidden reports whether the file may not be written.
func (file) Forbidden(err error) bool {
	var failure *sqlite.Error
	return errors.As(err, &failure) && failure.Code()&0xff == sqlite3.SQLITE_READONLY
}

// TableMissing goes by the text, since SQLite has no code for it.
func (file) TableMissing(err error) bool {
	text := err.Error()
	return strings.Contains(text, "no such table") || strings.Contains(text, "no such column") || strings.Contains(text, "has no column named")
}
