package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/claimcheck-go/claimcheck/queue"
)

// readers is how many connections may read at once, beside the one that writes.
const readers = 4

// Open opens, and if need be creates, the SQLite database that rawURL names:
// "sqlite:PATH", or "sqlite::memory:" for one that lives and dies with the
// Store. Unless config.Migrate is set, call Migrate before the first use.
func Open(ctx context.Context, rawURL string, config Config) (*Store, error) {
	s, err := open(ctx, rawURL, config)
	if err != nil || !config.Migrate {
		return s, err
	}
	if _, err := s.Migrate(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

func open(ctx context.Context, rawURL string, config Config) (*Store, error) {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.AcquireTimeout == 0 {
		config.AcquireTimeout = 5 * time.Second
	}
	path, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	s := &Store{config: config, path: path}
	if path == "" {
		// Each connection to :memory: is a database of its own.
		s.writer, err = openSQLite("file::memory:", 1)
		s.reader = s.writer
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", s.name(), err)
		}
		return s, nil
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("open %s: there is no directory %s: create it, or name another path", s.name(), filepath.Dir(path))
	}
	file := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}).String()
	file += fmt.Sprintf("?_busy_timeout=%d", config.AcquireTimeout.Milliseconds()) // for other processes
	// synchronous FULL: an acknowledged row survives a power cut.
	s.writer, err = openSQLite(file+"&_journal_mode=WAL&_synchronous=FULL", 1)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s.name(), err)
	}
	s.reader, err = openSQLite(file+"&_query_only=1", readers)
	if err != nil {
		s.writer.Close()
		return nil, fmt.Errorf("open %s: %w", s.name(), err)
	}
	if err := s.reachable(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// reachable makes the first connection, the one that may write.
func (s *Store) reachable(ctx context.Context) error {
	return s.write(ctx, "open", func(context.Context, querier, time.Time) error { return nil })
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

// parseURL returns the path in a sqlite: URL, empty for :memory:.
func parseURL(rawURL string) (string, error) {
	path, ok := strings.CutPrefix(rawURL, "sqlite:")
	path = strings.TrimPrefix(path, "//")
	switch {
	case !ok || path == "":
		return "", errors.New("a SQLite database is named sqlite:PATH or sqlite::memory:")
	case path == ":memory:":
		return "", nil
	}
	return path, nil
}

// name says in messages which database this is.
func (s *Store) name() string {
	if s.path == "" {
		return "SQLite database in memory"
	}
	return "SQLite database " + s.path
}

// translate makes the driver's errors those of package queue; others pass.
func (s *Store) translate(ctx context.Context, op string, err error) error {
	var failure *sqlite.Error
	switch {
	case err == nil:
		return nil
	case s.closed.Load():
		return fmt.Errorf("%s: %w", op, queue.ErrClosed)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", op, err)
	case !errors.As(err, &failure):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", op, ctx.Err())
	case tableMissing(err):
		return fmt.Errorf("%s: %w: %w", op, queue.ErrSchema, err)
	}
	switch failure.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_FULL,
		sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_INTERRUPT:
		return fmt.Errorf("%s: %w: %s: %w", op, queue.ErrUnavailable, s.name(), err)
	}
	return fmt.Errorf("%s: %s: %w", op, s.name(), err)
}

// tableMissing reports whether err says that a table or column does not exist,
// for which SQLite has no code.
func tableMissing(err error) bool {
	text := err.Error()
	return strings.Contains(text, "no such table") || strings.Contains(text, "no such column") || strings.Contains(text, "has no column named")
}
