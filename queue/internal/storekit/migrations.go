package storekit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/claimcheck-go/claimcheck/queue"
)

// versionTable keeps the versions that were applied.
const versionTable = "claimcheck_schema"

// Migrations are the steps of the schema of one kind of database. Which of them a
// database has is kept in its table claimcheck_schema.
type Migrations struct {
	Files   fs.FS // NNNNN_name.sql, in the form of goose
	Dialect goose.Dialect
	// TableMissing reports whether an error says that a table does not exist.
	TableMissing func(error) bool
	// Bound runs a read of the versions, which may be the first statement of a
	// process, with the store's limit for one; nil: without a limit.
	Bound func(ctx context.Context, read func(context.Context) error) error
}

// MigrationLock keeps other processes out until unlock, which also makes what was done in
// db permanent, or, without commit, undoes it where the database can.
type MigrationLock func(context.Context) (db *sql.DB, unlock func(commit bool) error, err error)

// Up applies what is pending and returns it. With nothing pending it is one
// query on db; otherwise it runs under lock, in the database that lock returns.
func (m Migrations) Up(ctx context.Context, db *sql.DB, lock MigrationLock) ([]queue.Migration, error) {
	if err := m.Check(ctx, db); !errors.Is(err, queue.ErrSchema) {
		return nil, err
	}
	locked, unlock, err := lock(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate: lock against other processes: %w", err)
	}
	var results []*goose.MigrationResult
	provider, err := m.provider(locked)
	if err == nil {
		if results, err = provider.Up(ctx); err != nil {
			err = fmt.Errorf("migrate: %w", err)
		}
	}
	if unlockErr := unlock(err == nil); err == nil && unlockErr != nil {
		err = fmt.Errorf("migrate: commit: %w", unlockErr)
	}
	if err != nil {
		return nil, err
	}
	applied := make([]queue.Migration, len(results))
	for i, r := range results {
		applied[i] = queue.Migration{Version: r.Source.Version, Name: path.Base(r.Source.Path), AppliedAt: time.Now().UTC(), Took: r.Duration}
	}
	return applied, nil
}

// Status returns all migrations, oldest first. It changes nothing.
func (m Migrations) Status(ctx context.Context, db *sql.DB) ([]queue.Migration, error) {
	applied, err := m.applied(ctx, db)
	if err != nil {
		return nil, err
	}
	all, err := m.all(db)
	for i := range all {
		all[i].AppliedAt = applied[all[i].Version]
	}
	return all, err
}

// Check returns queue.ErrSchema unless every migration has been applied. A
// database that is ahead is fine: schemas grow by adding, so an older program
// runs beside a newer one.
func (m Migrations) Check(ctx context.Context, db *sql.DB) error {
	status, err := m.Status(ctx, db)
	if err != nil {
		return err
	}
	var have int64
	for _, step := range status {
		if step.AppliedAt.IsZero() {
			return fmt.Errorf("%w: it has version %d, this program needs %d", queue.ErrSchema, have, status[len(status)-1].Version)
		}
		have = step.Version
	}
	return nil
}

// Newest returns the newest version that was applied, which may be one of a
// newer program; 0 is none.
func (m Migrations) Newest(ctx context.Context, db *sql.DB) (int64, error) {
	applied, err := m.applied(ctx, db)
	var newest int64
	for version := range applied {
		newest = max(newest, version)
	}
	return newest, err
}

// applied returns when each version was applied. It is not goose's own query,
// which would create the version table.
func (m Migrations) applied(ctx context.Context, db *sql.DB) (applied map[int64]time.Time, err error) {
	if m.Bound == nil {
		return m.read(ctx, db)
	}
	err = m.Bound(ctx, func(ctx context.Context) (err error) {
		applied, err = m.read(ctx, db)
		return err
	})
	return applied, err
}

func (m Migrations) read(ctx context.Context, db *sql.DB) (map[int64]time.Time, error) {
	rows, err := db.QueryContext(ctx, "SELECT version_id, tstamp FROM "+versionTable)
	if err != nil {
		if m.TableMissing(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("read schema version: %w", err)
	}
	defer rows.Close()
	applied := make(map[int64]time.Time)
	for rows.Next() {
		var version int64
		var at time.Time
		if err := rows.Scan(&version, &at); err != nil {
			return nil, fmt.Errorf("read schema version: %w", err)
		}
		applied[version] = at.UTC()
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read schema version: %w", err)
	}
	return applied, nil
}

func (m Migrations) all(db *sql.DB) ([]queue.Migration, error) {
	provider, err := m.provider(db)
	if err != nil {
		return nil, err
	}
	var all []queue.Migration
	for _, source := range provider.ListSources() {
		all = append(all, queue.Migration{Version: source.Version, Name: path.Base(source.Path)})
	}
	return all, nil
}

func (m Migrations) provider(db *sql.DB) (*goose.Provider, error) {
	provider, err := goose.NewProvider(m.Dialect, db, m.Files,
		goose.WithTableName(versionTable),
		goose.WithDisableGlobalRegistry(true),
	)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	return provider, nil
}

// SQL returns every migration as plain SQL, for programs that have their own tool for
// migrations, with the version rows that Check looks for. createVersions
// creates their table.
func (m Migrations) SQL(createVersions string) string {
	names, err := fs.Glob(m.Files, "*.sql")
	if err != nil {
		panic(err) // the pattern is right
	}
	var b strings.Builder
	b.WriteString(createVersions + ";\n")
	for _, name := range names {
		data, err := fs.ReadFile(m.Files, name)
		if err != nil {
			panic(err) // the files are embedded
		}
		up, _, _ := strings.Cut(string(data), "-- +goose Down")
		fmt.Fprintf(&b, "\n-- %s\n", name)
		for line := range strings.Lines(up) {
			if !strings.HasPrefix(line, "-- +goose") {
				b.WriteString(line)
			}
		}
		number, _, _ := strings.Cut(name, "_")
		fmt.Fprintf(&b, "INSERT INTO %s (version_id, is_applied) VALUES (%s, true);\n", versionTable, strings.TrimLeft(number, "0"))
	}
	return b.String()
}
