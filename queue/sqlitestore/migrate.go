package sqlitestore

import (
	"context"
	"embed"
	"io/fs"
	"time"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

//go:embed migrations/*.sql
var embedded embed.FS

// Migrations are the steps of the schema.
func (file) Migrations() storekit.Migrations {
	files, err := fs.Sub(embedded, "migrations")
	if err != nil {
		panic(err) // the directory is embedded
	}
	return storekit.Migrations{Files: files, Dialect: goose.DialectSQLite3}
}

// LockMigrations locks a file beside the database. A database in memory has no
// other process.
func (f file) LockMigrations(ctx context.Context) (unlock func(), err error) {
	path, err := f.find(ctx)
	if err != nil || path == "" {
		return func() {}, err
	}
	lock := flock.New(path + ".lock")
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return nil, err
	}
	return func() { _ = lock.Unlock() }, nil
}

// find returns the path of the file; empty for a database in memory.
func (f file) find(ctx context.Context) (path string, err error) {
	if f.path != "" {
		return f.path, nil
	}
	err = f.db.QueryRowContext(ctx, "SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&path)
	return path, err
}

// Migrate brings the tables to the version that this program needs, and
// returns what it applied. Several processes may do so at once; when nothing
// is pending it costs one query.
func (s *Store) Migrate(ctx context.Context) ([]queue.Migration, error) { return s.base.Migrate(ctx) }

// MigrationStatus returns all migrations, oldest first, applied or not.
func (s *Store) MigrationStatus(ctx context.Context) ([]queue.Migration, error) {
	return s.base.MigrationStatus(ctx)
}

// CheckSchema returns queue.ErrSchema when the tables are missing or older
// than this program needs. Newer ones are fine.
func (s *Store) CheckSchema(ctx context.Context) error { return s.base.CheckSchema(ctx) }

// MigrationSQL returns all migrations as plain SQL, for programs that have their
// own tool for migrations.
func MigrationSQL() string {
	return file{}.Migrations().SQL(`CREATE TABLE claimcheck_schema (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    version_id INTEGER NOT NULL,
    is_applied INTEGER NOT NULL,
    tstamp TIMESTAMP DEFAULT (datetime('now'))
);
INSERT INTO claimcheck_schema (version_id, is_applied) VALUES (0, true)`)
}
