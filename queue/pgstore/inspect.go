package pgstore

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/claimcheck-go/claimcheck/queue/dbfacts"
)

// oldest is the oldest major version of PostgreSQL that is supported.
const oldest = 14

// Inspect returns what the server says about itself.
func (s *Store) Inspect(ctx context.Context) (dbfacts.Facts, error) {
	f := dbfacts.Facts{Product: "PostgreSQL", Oldest: strconv.Itoa(oldest)}
	var number int
	var commit, fsync, pages, setting string
	var backend uint32
	err := s.on(ctx, "inspect", func(conn *pgx.Conn) error {
		f.Asked = time.Now()
		err := conn.QueryRow(ctx, `SELECT current_setting('server_version'), current_setting('server_version_num')::int,
  pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool,
  current_setting('synchronous_commit'), current_setting('fsync'), current_setting('full_page_writes'),
  current_setting('max_connections')::int,
  current_setting('superuser_reserved_connections')::int + coalesce(current_setting('reserved_connections', true)::int, 0),
  coalesce(least((SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user),
                 (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database())), 0),
  (SELECT sum(numbackends)::int FROM pg_stat_database),
  pg_backend_pid(), clock_timestamp()`).Scan(
			&f.Version, &number, &f.ReadOnly, &commit, &fsync, &pages,
			&f.MaxConnections, &f.Reserved, &f.UserLimit, &f.Connections, &backend, &f.Now)
		f.Answered = time.Now()
		// A pooler gives its clients process IDs of its own, for cancel requests.
		f.Pooled = backend != conn.PgConn().PID()
		if err == nil {
			err = s.readSettings(ctx, conn, &setting)
		}
		return err
	})
	if err != nil {
		return f, err
	}
	f.TooOld = number < oldest*10000
	f.Durability = s.durability(commit, fsync, pages)
	return f, nil
}

// durability returns the settings that decide what a crash may lose.
func (s *Store) durability(commit, fsync, pages string) []dbfacts.Setting {
	set := dbfacts.Setting{Name: "synchronous_commit", Value: commit}
	switch commit {
	case "off":
		set.Loses, set.Refused = "a crash of the server loses acknowledged tasks", true
		set.Fix = fmt.Sprintf("ALTER DATABASE %s SET synchronous_commit = on", pgx.Identifier{s.pool.Config().ConnConfig.Database}.Sanitize())
	case "local":
		set.Loses = "a standby that takes over may lack acknowledged tasks"
		set.Fix = fmt.Sprintf("ALTER DATABASE %s SET synchronous_commit = on", pgx.Identifier{s.pool.Config().ConnConfig.Database}.Sanitize())
	}
	settings := []dbfacts.Setting{set}
	for _, of := range []struct{ name, value, loses string }{
		{"fsync", fsync, "a crash of the machine may destroy the database"},
		{"full_page_writes", pages, "a crash of the machine may damage pages of the database"},
	} {
		set := dbfacts.Setting{Name: of.name, Value: of.value}
		if of.value == "off" {
			set.Loses, set.Fix = of.loses, fmt.Sprintf("ALTER SYSTEM SET %s = on; SELECT pg_reload_conf()", of.name)
		}
		settings = append(settings, set)
	}
	return settings
}

// SchemaVersion returns the newest version of the schema that was applied, by
// this program or by a newer one; 0 is none.
func (s *Store) SchemaVersion(ctx context.Context) (int64, error) {
	db := stdlib.OpenDBFromPool(s.pool)
	defer db.Close()
	version, err := s.migrations().Newest(ctx, db)
	return version, s.translate(ctx, "schema version", err)
}
