package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/claimcheck-go/claimcheck/internal/migrate"
	"github.com/claimcheck-go/claimcheck/internal/reserve"
	"github.com/claimcheck-go/claimcheck/queue"
)

// readers is how many connections may read at once, beside the one that writes.
const readers = 4

// sqliteDialect is SQLite's: its write lock is that of the whole database, and
// partial indexes serve the conditions.
var sqliteDialect = dialect{
	begin:       "BEGIN IMMEDIATE",
	onDuplicate: " ON CONFLICT (id) DO NOTHING",
	batch:       1,
	free:        "status = 'READY' AND hold = 0",
	freeOrder:   "priority DESC, enqueued_at, id",
	freeReverse: "priority, enqueued_at DESC, id DESC",
	freeAfter:   "priority <= :priority AND (priority < :priority OR enqueued_at >= :at AND (enqueued_at > :at OR id > :id))",
	freeBefore:  "priority >= :priority AND (priority > :priority OR enqueued_at <= :at AND (enqueued_at < :at OR id < :id))",
	held:        "status = 'READY' AND hold = 1",
	heldUntil:   "coalesce(retry_at, run_after)",
	readyOf:     "status = 'READY' AND backend_name = ?",
	dispatchDue: "dispatch_due_at",
	useIndex:    func(name string) string { return " INDEXED BY " + name },
}

// sqliteFile is the backend.
type sqliteFile struct {
	path string // empty when the database is in memory
}

func openFile(ctx context.Context, rawURL string, config Config) (*Store, error) {
	path, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	file := sqliteFile{path}
	s := &Store{config: config, dialect: &sqliteDialect, backend: file, reserve: &reserve.Reserve{}}
	if path == "" {
		// Each connection to :memory: is a database of its own.
		s.writer, err = openSQLite("file::memory:", 1)
		s.reader = s.writer
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", file.name(), err)
		}
		return s, nil
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("open %s: there is no directory %s: create it, or name another path", file.name(), filepath.Dir(path))
	}
	if _, err := os.Stat(path); config.Existing && os.IsNotExist(err) {
		return nil, fmt.Errorf("open %s: the file does not exist", file.name())
	}
	dsn := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}).String()
	dsn += fmt.Sprintf("?_busy_timeout=%d", config.AcquireTimeout.Milliseconds()) // for other processes
	if config.Existing {
		dsn += "&mode=rw" // the file may have been removed since
	}
	// synchronous FULL: an acknowledged row survives a power cut.
	s.writer, err = openSQLite(dsn+"&_journal_mode=WAL&_synchronous=FULL", 1)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", file.name(), err)
	}
	s.reader, err = openSQLite(dsn+"&_query_only=1", readers)
	if err != nil {
		s.writer.Close()
		return nil, fmt.Errorf("open %s: %w", file.name(), err)
	}
	if err := s.reachable(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// reachable makes the first connection, the one that may write. Several processes
// may do so at once with a file that is new: to make it a WAL database takes it
// for oneself, and then SQLite does not wait for the others as it does otherwise
// (https://www.sqlite.org/wal.html).
func (s *Store) reachable(ctx context.Context) error {
	const pause = 10 * time.Millisecond
	for giveUp := time.Now().Add(s.config.AcquireTimeout); ; {
		err := s.write(ctx, "open", func(context.Context, querier, time.Time) error { return nil })
		var failure *sqlite.Error
		if !errors.As(err, &failure) || failure.Code()&0xff != sqlite3.SQLITE_BUSY || time.Now().After(giveUp) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

func openSQLite(dsn string, conns int) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// misnamedMemory are the paths that other programs' URLs of a database in memory
// turn into, such as SQLAlchemy's sqlite:///:memory:.
var misnamedMemory = regexp.MustCompile(`(?i)^(file)?[:/]*(:memory:?|memory:)$`)

// parseURL returns the path in a sqlite: URL, empty for :memory:.
func parseURL(rawURL string) (string, error) {
	path, ok := strings.CutPrefix(rawURL, "sqlite:")
	path = strings.TrimPrefix(path, "//")
	switch {
	case !ok || path == "":
		return "", errors.New("a SQLite database is named sqlite:PATH or sqlite::memory:")
	case path == ":memory:":
		return "", nil
	case misnamedMemory.MatchString(path):
		return "", fmt.Errorf("%q would be the name of a file: a database in memory is named sqlite::memory:", path)
	}
	return path, nil
}

func (f sqliteFile) name() string {
	if f.path == "" {
		return "SQLite database in memory"
	}
	return "SQLite database " + f.path
}

func (f sqliteFile) translate(ctx context.Context, op string, err error) error {
	var failure *sqlite.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", op, err)
	case !errors.As(err, &failure):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", op, ctx.Err())
	case f.tableMissing(err):
		return fmt.Errorf("%s: %w: %w", op, queue.ErrSchema, err)
	}
	switch failure.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("%s: %w: %s: another connection, maybe of another process, keeps it locked: %w", op, queue.ErrContended, f.name(), err)
	case sqlite3.SQLITE_TOOBIG:
		return fmt.Errorf("%s: %w: %s: %w", op, queue.ErrTooLarge, f.name(), err)
	case sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_FULL,
		sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_INTERRUPT:
		return fmt.Errorf("%s: %w: %s: %w", op, queue.ErrUnavailable, f.name(), err)
	}
	return fmt.Errorf("%s: %s: %w", op, f.name(), err)
}

// A file has no duplicates to ask about, no deadlocks and no broken connections.
func (sqliteFile) duplicate(error) bool { return false }
func (sqliteFile) mayRepeat(error) bool { return false }
func (sqliteFile) broken(error) bool    { return false }

// tableMissing goes by the text, since SQLite has no code for it.
func (sqliteFile) tableMissing(err error) bool {
	text := err.Error()
	return strings.Contains(text, "no such table") || strings.Contains(text, "no such column") || strings.Contains(text, "has no column named")
}

func (sqliteFile) migrations() migrate.Set {
	return migrate.Set{Files: migrationFiles("migrations"), Dialect: goose.DialectSQLite3}
}

// lockMigrations locks a file beside the database. A database in memory has no
// other process.
func (f sqliteFile) lockMigrations(ctx context.Context) (unlock func(), err error) {
	if f.path == "" {
		return func() {}, nil
	}
	lock := flock.New(f.path + ".lock")
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return nil, err
	}
	return func() { _ = lock.Unlock() }, nil
}
