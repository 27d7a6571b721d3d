package mysqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue/dbfacts"
	"github.com/claimcheck-go/claimcheck/queue/internal/sqlstore"
)

// Inspect returns what the server says of itself.
func (s *Store) Inspect(ctx context.Context) (f dbfacts.Facts, err error) {
	err = sqlstore.Read(ctx, s.base, "inspect", func(conn sqlstore.Conn) error { return inspect(ctx, conn, &f) })
	return f, err
}

func inspect(ctx context.Context, conn sqlstore.Conn, f *dbfacts.Facts) error {
	var flush, syncBinlog, binlog, connected string
	var ignored string
	f.Asked = time.Now()
	err := conn.QueryRowContext(ctx, `SELECT VERSION(), @@max_connections, @@max_user_connections, @@read_only, @@max_allowed_packet,
  @@innodb_flush_log_at_trx_commit, @@sync_binlog, @@log_bin, `+sqlstore.MySQLClock).Scan(
		&f.Version, &f.MaxConnections, &f.UserLimit, &f.ReadOnly, &f.MaxPacket, &flush, &syncBinlog, &binlog, sqlstore.At(&f.Now))
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
	_, _ = fmt.Sscan(connected, &f.Connections) // shown and not checked
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
		set.Fix = "SET GLOBAL innodb_flush_log_at_trx_commit = 1 (and in my.cnf)"
	}
	return set
}

func synced(value string) dbfacts.Setting {
	set := dbfacts.Setting{Name: "sync_binlog", Value: value}
	if value != "1" {
		set.Loses = "a replica that takes over after a crash may lack acknowledged tasks"
		set.Fix = "SET GLOBAL sync_binlog = 1 (and in my.cnf)"
	}
	return set
}
