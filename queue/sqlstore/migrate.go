package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"io/fs"

	"github.com/claimcheck-go/claimcheck/internal/migrate"
)

// Migration is one step of the schema.
type Migration = migrate.Migration

//go:embed migrations/*.sql migrations/mysql/*.sql
var embedded embed.FS

func migrationFiles(dir string) fs.FS {
	files, err := fs.Sub(embedded, dir)
	if err != nil {
		panic(err) // the directory is embedded
	}
	return files
}

func (s *Store) migrations() migrate.Set {
	set := s.backend.migrations()
	set.TableMissing = s.backend.tableMissing
	set.Bound = func(ctx context.Context, do func(context.Context) error) error {
		return s.firstAnswer(ctx, "read schema version", do)
	}
	return set
}

// Migrate brings the tables to the version that this program needs, and
// returns what it applied. Several processes may do so at once; when nothing
// is pending it costs one query.
func (s *Store) Migrate(ctx context.Context) ([]Migration, error) {
	applied, err := s.migrations().Up(ctx, s.writer, func(ctx context.Context) (*sql.DB, func(bool) error, error) {
		unlock, err := s.backend.lockMigrations(ctx)
		return s.writer, func(bool) error { unlock(); return nil }, err
	})
	return applied, s.translate(ctx, "migrate", err)
}

// MigrationStatus returns all migrations, oldest first, applied or not.
func (s *Store) MigrationStatus(ctx context.Context) ([]Migration, error) {
	status, err := s.migrations().Status(ctx, s.writer)
	return status, s.translate(ctx, "migration status", err)
}

// CheckSchema returns queue.ErrSchema when the tables are missing or older
// than this program needs. Newer ones are fine.
func (s *Store) CheckSchema(ctx context.Context) error {
	return s.translate(ctx, "check schema", s.migrations().Check(ctx, s.writer))
}

// MigrationSQL is all migrations for SQLite as plain SQL, for people who run
// their own.
func MigrationSQL() string {
	return sqliteFile{}.migrations().SQL(`CREATE TABLE claimcheck_schema (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    version_id INTEGER NOT NULL,
    is_applied INTEGER NOT NULL,
    tstamp TIMESTAMP DEFAULT (datetime('now'))
);
INSERT INTO claimcheck_schema (version_id, is_applied) VALUES (0, true)`)
}

// MySQLMigrationSQL is the same for MySQL and MariaDB.
func MySQLMigrationSQL() string {
	return (*mysqlServer)(nil).migrations().SQL(`CREATE TABLE claimcheck_schema (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    version_id BIGINT NOT NULL,
    is_applied BOOLEAN NOT NULL,
    tstamp DATETIME NULL DEFAULT CURRENT_TIMESTAMP
);
INSERT INTO claimcheck_schema (version_id, is_applied) VALUES (0, true)`)
}
