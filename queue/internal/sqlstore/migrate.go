package sqlstore

import (
	"context"
	"database/sql"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

func (s *Store) migrations() storekit.Migrations {
	set := s.backend.Migrations()
	set.TableMissing = s.backend.TableMissing
	set.Bound = func(ctx context.Context, do func(context.Context) error) error {
		return s.firstAnswer(ctx, "read schema version", do)
	}
	return set
}

// Migrate brings the tables to the version that this program needs, and
// returns what it applied. Several processes may do so at once; when nothing
// is pending it costs one query.
func (s *Store) Migrate(ctx context.Context) ([]queue.Migration, error) {
	applied, err := s.migrations().Up(ctx, s.writer, func(ctx context.Context) (*sql.DB, func(bool) error, error) {
		unlock, err := s.backend.LockMigrations(ctx)
		return s.writer, func(bool) error { unlock(); return nil }, err
	})
	return applied, s.translate(ctx, "migrate", err)
}

// MigrationStatus returns all migrations, oldest first, applied or not.
func (s *Store) MigrationStatus(ctx context.Context) ([]queue.Migration, error) {
	status, err := s.migrations().Status(ctx, s.writer)
	return status, s.translate(ctx, "migration status", err)
}

// CheckSchema returns queue.ErrSchema when the tables are missing or older
// than this program needs. Newer ones are fine.
func (s *Store) CheckSchema(ctx context.Context) error {
	return s.translate(ctx, "check schema", s.migrations().Check(ctx, s.writer))
}

// SchemaVersion returns the newest version of the schema that was applied, by
// this program or by a newer one; 0 is none.
func (s *Store) SchemaVersion(ctx context.Context) (int64, error) {
	version, err := s.migrations().Newest(ctx, s.writer)
	return version, s.translate(ctx, "schema version", err)
}
