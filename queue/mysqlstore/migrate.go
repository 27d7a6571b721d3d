package mysqlstore

import (
	"context"
	"crypto/md5" //nolint:gosec // shortens a name
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

//go:embed migrations/*.sql
var embedded embed.FS

// Migrations are the steps of the schema.
func (*server) Migrations() storekit.Migrations {
	files, err := fs.Sub(embedded, "migrations")
	if err != nil {
		panic(err) // the directory is embedded
	}
	return storekit.Migrations{Files: files, Dialect: goose.DialectMySQL}
}

// LockMigrations takes a lock of the server, on a connection of its own so that
// a pool of one is enough. Locks are the whole server's: the name contains that
// of the database.
func (m *server) LockMigrations(ctx context.Context) (unlock func(), err error) {
	db := m.pool // the caller's, if there is one
	if db == nil {
		db = sql.OpenDB(m.connector)
		db.SetMaxOpenConns(1)
	}
	closeOwn := func() {
		if m.pool == nil {
			_ = db.Close()
		}
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		closeOwn()
		return nil, err
	}
	release := func() { _ = conn.Close(); closeOwn() }
	database := m.config.DBName
	if database == "" { // a pool of the caller's
		if err := conn.QueryRowContext(ctx, "SELECT DATABASE()").Scan(&database); err != nil {
			release()
			return nil, err
		}
	}
	name := fmt.Sprintf("claimcheck.%x", md5.Sum([]byte(database))) //nolint:gosec // names are at most 64 bytes long
	for {
		var got sql.NullInt64
		if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, 0)", name).Scan(&got); err != nil {
			release()
			return nil, err
		}
		if got.Int64 == 1 {
			return func() {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockTime)
				defer cancel()
				_, _ = conn.ExecContext(ctx, "DO RELEASE_LOCK(?)", name) // else it ends with the connection
				release()
			}, nil
		}
		select {
		case <-ctx.Done():
			release()
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// unlockTime bounds the release of the lock.
const unlockTime = 2 * time.Second

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
	return (*server)(nil).Migrations().SQL(`CREATE TABLE claimcheck_schema (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    version_id BIGINT NOT NULL,
    is_applied BOOLEAN NOT NULL,
    tstamp DATETIME NULL DEFAULT CURRENT_TIMESTAMP
);
INSERT INTO claimcheck_schema (version_id, is_applied) VALUES (0, true)`)
}
