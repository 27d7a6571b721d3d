package stores

import (
	"context"
	"fmt"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/dbfacts"
)

// Database is what the server opens. It may also implement [queue.Operator],
// [Migrator], [Inspector], [RightsChecker] and [IntegrityChecker]; a command that
// requires one of them says so.
type Database interface {
	queue.Store
	Close() error
}

// Migrator is a Database with a schema.
type Migrator interface {
	// Migrate applies what is pending, and returns it.
	Migrate(ctx context.Context) ([]queue.Migration, error)
	// MigrationStatus returns all migrations, oldest first.
	MigrationStatus(ctx context.Context) ([]queue.Migration, error)
	// CheckSchema returns queue.ErrSchema if any is pending.
	CheckSchema(ctx context.Context) error
	// SchemaVersion returns the newest version that was applied.
	SchemaVersion(ctx context.Context) (int64, error)
}

// Inspector is a Database that reports what doctor checks.
type Inspector interface {
	Inspect(ctx context.Context) (dbfacts.Facts, error)
}

// RightsChecker is a Database that lists the privileges that its user lacks.
type RightsChecker interface {
	MissingRights(ctx context.Context) ([]string, error)
}

// IntegrityChecker is a Database in files of its own, which it can verify.
type IntegrityChecker interface {
	CheckIntegrity(ctx context.Context, full bool) ([]string, error)
}

// As returns db as one of the optional interfaces, or queue.ErrUnsupported.
func As[T any](db Database) (T, error) {
	as, ok := db.(T)
	if !ok {
		return as, fmt.Errorf("%w: %T is no %T", queue.ErrUnsupported, db, (*T)(nil))
	}
	return as, nil
}

// CheckSchema returns queue.ErrSchema if a migration is pending; a Database that is
// no Migrator has none.
func CheckSchema(ctx context.Context, db Database) error {
	if m, ok := db.(Migrator); ok {
		return m.CheckSchema(ctx)
	}
	return nil
}

// Migrate applies what is pending; a Database that is no Migrator has nothing.
func Migrate(ctx context.Context, db Database) error {
	if m, ok := db.(Migrator); ok {
		_, err := m.Migrate(ctx)
		return err
	}
	return nil
}

// CloseTime bounds the end of the connections, which includes cancelling abandoned
// statements on the server: one that does not answer would keep the process for
// longer than a platform waits.
const CloseTime = 2 * time.Second

// Close closes db, or leaves that to the end of the process if it takes longer than
// limit.
func Close(db Database, limit time.Duration) error {
	closed := make(chan error, 1)
	go func() { closed <- db.Close() }()
	select {
	case err := <-closed:
		return err
	case <-time.After(limit):
		return nil
	}
}
