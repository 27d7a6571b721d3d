// Package sqlitestore keeps the rows of package queue in SQLite: in one file, or in
// memory. It needs no server, and is what a laptop or a test runs on.
//
//	store, err := sqlitestore.Open(ctx, sqlitestore.Config{URL: "sqlite:tasks.db", Migrate: true})
//
// One process writes at a time, for microseconds; others wait for their turn. An
// acknowledged row survives a power cut. The driver is modernc.org/sqlite, which
// needs no C compiler.
package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/sqlstore"
)

// Store is a [queue.Store], a [queue.Operator] and [queue.Pooled] on a SQLite
// database. It is safe for concurrent use.
type Store struct {
	*base
	file file
}

type base = sqlstore.Store

// readers is how many connections may read at once, beside the one that writes.
const readers = 4

// Open opens a database. Unless config.Migrate is set, call [Store.Migrate] before
// the first use.
func Open(ctx context.Context, config Config) (*Store, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	s, err := open(ctx, config)
	if err != nil || !config.Migrate {
		return s, err
	}
	if _, err := s.Migrate(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// New returns a Store on a pool of the caller's, which [Store.Close] closes. The
// pool must be of the driver that this package imports, whose name is "sqlite",
// and should set for each connection what Open sets for its own:
//
//	db, err := sql.Open("sqlite", "file:tasks.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
//
// A pool on a database in memory must have one connection (SetMaxOpenConns), since
// each is a database of its own. New panics if pool is nil, or of another driver;
// [Open] with Config.Pool returns that as an error, and takes further settings.
func New(pool *sql.DB) *Store {
	if pool == nil {
		panic("sqlitestore: New: the pool is nil: check the error of sql.Open")
	}
	config := Config{Pool: pool}
	if err := config.Validate(); err != nil {
		panic("sqlitestore: New: " + err.Error())
	}
	return config.store(file{db: pool}, pool, pool)
}

func checkPool(c Config) error {
	if c.URL != "" {
		return &queue.ConfigError{Field: "Pool", Text: "Config.URL is set too: leave one of them empty"}
	}
	if _, ok := c.Pool.Driver().(*sqlite.Driver); !ok {
		return &queue.ConfigError{Field: "Pool", Text: fmt.Sprintf("its driver is %T: open it with the driver name \"sqlite\" of modernc.org/sqlite, which this package imports", c.Pool.Driver())}
	}
	return nil
}

func (c Config) store(f file, writer, reader *sql.DB) *Store {
	return &Store{sqlstore.New(sqlstore.Options{
		Dialect: sqlstore.SQLite, Backend: f, Writer: writer, Reader: reader,
		Now: c.Now, AcquireTimeout: c.AcquireTimeout, Observe: c.Observe, PoolSetting: "Config.Pool",
	}), f}
}

func open(ctx context.Context, config Config) (*Store, error) {
	if config.AcquireTimeout == 0 {
		config.AcquireTimeout = sqlstore.DefaultAcquireTimeout
	}
	if config.Pool != nil {
		s := config.store(file{db: config.Pool}, config.Pool, config.Pool)
		return s, s.reachable(ctx, config.AcquireTimeout)
	}
	path, err := config.Path()
	if err != nil {
		return nil, err
	}
	f := file{path: path}
	if path == "" {
		// Each connection to :memory: is a database of its own.
		f.db, err = openSQLite("file::memory:", 1)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", f.Name(), err)
		}
		return config.store(f, f.db, f.db), nil
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("open %s: there is no directory %s: create it, or name another path", f.Name(), filepath.Dir(path))
	}
	if _, err := os.Stat(path); config.Existing && os.IsNotExist(err) {
		return nil, fmt.Errorf("open %s: the file does not exist", f.Name())
	}
	dsn := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}).String()
	dsn += fmt.Sprintf("?_busy_timeout=%d", config.AcquireTimeout.Milliseconds()) // for other processes
	if config.Existing {
		dsn += "&mode=rw" // the file may have been removed since
	}
	// synchronous FULL: an acknowledged row survives a power cut.
	f.db, err = openSQLite(dsn+"&_journal_mode=WAL&_synchronous=FULL", 1)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", f.Name(), err)
	}
	reader, err := openSQLite(dsn+"&_query_only=1", readers)
	if err != nil {
		_ = f.db.Close()
		return nil, fmt.Errorf("open %s: %w", f.Name(), err)
	}
	s := config.store(f, f.db, reader)
	if err := s.reachable(ctx, config.AcquireTimeout); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// reachable makes the first connection that may write. Several processes may open a
// new file at once: switching it to WAL requires exclusive access, and for that
// SQLite does not wait as it does otherwise (https://www.sqlite.org/wal.html).
func (s *Store) reachable(ctx context.Context, timeout time.Duration) error {
	const pause = 10 * time.Millisecond
	for giveUp := time.Now().Add(timeout); ; {
		err := sqlstore.Begin(ctx, s.base)
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

// DB returns the connections that write, on which the caller may begin transactions
// for [Tx]: one, unless the pool is the caller's.
func (s *Store) DB() *sql.DB { return s.file.db }

// Close closes the database. Calls in progress finish; later ones return
// queue.ErrClosed.
func (s *Store) Close() error { return s.base.Close() }

// Tx makes a transaction of database/sql what queue.Client.InTx, EnqueueTx and
// queue.CompleteTx take. It must be in the database of the Client's Store; it may
// be of another pool. SQLite has one writer at a time: until the transaction ends,
// no task is enqueued, claimed or finished, not even by the same process. For
// a database in memory it must be begun on [Store.DB].
// Tx of a nil tx is nil, which the calls refuse.
func Tx(tx *sql.Tx) queue.Tx { return sqlstore.SQLite.Tx(tx) }
