package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/dbfacts"
)

// OpenUnchecked is Open for programs that say what is wrong with a database: it
// refuses none for its version.
func OpenUnchecked(ctx context.Context, rawURL string, config Config) (*Store, error) {
	if strings.HasPrefix(rawURL, "mysql:") {
		return connectMySQL(rawURL, config.withDefaults())
	}
	return open(ctx, rawURL, config.withDefaults())
}

// FilePath is the path of the SQLite file that a URL names; empty is a database
// in memory.
func FilePath(rawURL string) (string, error) { return parseURL(rawURL) }

// Inspect asks the database about itself.
func (s *Store) Inspect(ctx context.Context) (f dbfacts.Facts, err error) {
	err = s.read(ctx, "inspect", func(conn querier) error {
		if s.Embedded() {
			f.Product = "SQLite"
			return conn.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&f.Version)
		}
		return inspectMySQL(ctx, conn, &f)
	})
	return f, err
}

func inspectMySQL(ctx context.Context, conn querier, f *dbfacts.Facts) error {
	var flush, syncBinlog, binlog, connected string
	var ignored string
	f.Asked = time.Now()
	err := conn.QueryRowContext(ctx, `SELECT VERSION(), @@max_connections, @@max_user_connections, @@read_only, @@max_allowed_packet,
  @@innodb_flush_log_at_trx_commit, @@sync_binlog, @@log_bin, `+conn.store.dialect.clock).Scan(
		&f.Version, &f.MaxConnections, &f.UserLimit, &f.ReadOnly, &f.MaxPacket, &flush, &syncBinlog, &binlog, at(&f.Now))
	f.Answered = time.Now()
	if err != nil {
		return err
	}
	f.Product, f.Oldest = "MySQL", "8.0"
	if strings.Contains(strings.ToLower(f.Version), "mariadb") {
		f.Product, f.Oldest = "MariaDB", "10.6"
	}
	f.TooOld = tooOld(f.Version)
	err = conn.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Threads_connected'").Scan(&ignored, &connected)
	if err != nil && err != sql.ErrNoRows {
		return err
	}
	_, _ = fmt.Sscan(connected, &f.Connections) // only told, not judged
	f.Durability = []dbfacts.Setting{flushed(flush)}
	if binlog == "1" {
		f.Durability = append(f.Durability, synced(syncBinlog))
	}
	return nil
}

func flushed(value string) dbfacts.Setting {
	set := dbfacts.Setting{Name: "innodb_flush_log_at_trx_commit", Value: value}
	if value != "1" {
		set.Loses = "a crash loses what was acknowledged in the last second"
		set.Mend = "SET GLOBAL innodb_flush_log_at_trx_commit = 1 (and in my.cnf)"
	}
	return set
}

func synced(value string) dbfacts.Setting {
	set := dbfacts.Setting{Name: "sync_binlog", Value: value}
	if value != "1" {
		set.Loses = "a replica that takes over after a crash may lack acknowledged tasks"
		set.Mend = "SET GLOBAL sync_binlog = 1 (and in my.cnf)"
	}
	return set
}

// SchemaVersion returns the newest version of the schema that was applied, by
// this program or by a newer one; 0 is none.
func (s *Store) SchemaVersion(ctx context.Context) (int64, error) {
	version, err := s.migrations().Newest(ctx, s.writer)
	return version, s.translate(ctx, "schema version", err)
}
