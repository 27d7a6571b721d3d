package chaos

import (
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/chaos/ledger"
)

// connections is the number of a worker's connections to its database.
const connections = ledger.Conns

func TestChaosPostgres(t *testing.T) {
	o := newOptions(t, 20*time.Second, postgresShare)
	start(t, o, newPostgres(t, o), 3).execute().report(t)
}

func TestChaosMariaDB(t *testing.T) {
	o := newOptions(t, 12*time.Second, mariaDBShare)
	start(t, o, newMariaDB(t, o), 3).execute().report(t)
}

// TestChaosSQLite runs one process, which contains its database and its dispatcher:
// there are no faults of networks or of Cloud Tasks.
func TestChaosSQLite(t *testing.T) {
	o := newOptions(t, 10*time.Second, sqliteShare)
	start(t, o, newSQLite(t), 1).execute().report(t)
}
