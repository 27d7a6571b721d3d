package sqlstore_test

import (
	"path/filepath"
	"strings"
	"testing"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue/sqlstore"
	"github.com/claimcheck-go/claimcheck/queue/storetest"
)

func TestWhatMariaDBRefusesForItsSizeFailsAtOnce(t *testing.T) {
	url := testdb.StartMariaDB(t, "--max-allowed-packet=256K").URL("tasks")
	testdb.ExecMySQL(t, strings.TrimSuffix(url, "tasks"), "CREATE DATABASE tasks")
	storetest.RunTooLarge(t, migrated(t, url, sqlstore.Config{}), 256<<10, "max_allowed_packet")
}

func TestWhatSQLiteRefusesForItsSizeFailsAtOnce(t *testing.T) {
	s := migrated(t, "sqlite:"+filepath.Join(t.TempDir(), "tasks.db"), sqlstore.Config{})
	conn, err := s.DB().Conn(t.Context()) // the only one that writes
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Limit(conn, sqlite3.SQLITE_LIMIT_LENGTH, 256<<10); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	storetest.RunTooLarge(t, s, 256<<10, "too big")
}
