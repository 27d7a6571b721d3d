package sqlstore

import (
	"context"
	"embed"
	"io/fs"
	"time"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"

	"github.com/claimcheck-go/claimcheck/internal/migrate"
)

// Migration is one step of the schema.
type Migration = migrate.Migration

//go:embed migrations/*.sql
var migrationFiles embed.FS

func migrations() migrate.Set {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		panic(err) // the directory is embedded
	}
	return migrate.Set{Files: files, Dialect: goose.DialectSQLite3, TableMissing: tableMissing}
}

// Migrate brings the tables to the version that this program needs, and
// returns what it applied. Several processes may do so at once; when nothing
// is pending it costs one query.
func (s *Store) Migrate(ctx context.Context) ([]Migration, error) {
	applied, err := migrations().Up(ctx, s.writer, s.lockMigrations)
	return applied, s.translate(ctx, "migrate", err)
}

// lockMigrations keeps other processes out by a lock on a file beside the
// database. A database in memory has no other process.
func (s *Store) lockMigrations(ctx context.Context) (unlock func(), err error) {
	if s.path == "" {
		return func() {}, nil
	}
	lock := flock.New(s.path + ".lock")
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return nil, err
	}
	return func() { _ = lock.Unlock() }, nil
}

// MigrationStatus returns all migrations, oldest first, applied or not.
func (s *Store) MigrationStatus(ctx context.Context) ([]Migration, error) {
	status, err := migrations().Status(ctx, s.writer)
	return status, s.translate(ctx, "migration status", err)
}

// CheckSchema returns queue.ErrSchema when the tables are missing or older
// than this program needs. Newer ones are fine.
func (s *Store) CheckSchema(ctx context.Context) error {
	return s.translate(ctx, "check schema", migrations().Check(ctx, s.writer))
}

// MigrationSQL is all migrations as plain SQL, for people who run their own.
func MigrationSQL() string {
	return migrations().SQL(`CREATE TABLE claimcheck_schema (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    version_id INTEGER NOT NULL,
    is_applied INTEGER NOT NULL,
    tstamp TIMESTAMP DEFAULT (datetime('now'))
);
INSERT INTO claimcheck_schema (version_id, is_applied) VALUES (0, true)`)
}
