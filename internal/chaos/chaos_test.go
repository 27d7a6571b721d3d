package chaos

import (
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/chaos/books"
)

// connections is how many a worker keeps to its database.
const connections = books.Conns

func TestChaosPostgres(t *testing.T) {
	o := newOptions(t, 20*time.Second, postgresShare)
	start(t, o, newPostgres(t, o), 3).execute().report(t)
}

func TestChaosMariaDB(t *testing.T) {
	o := newOptions(t, 12*time.Second, mariaDBShare)
	start(t, o, newMariaDB(t, o), 3).execute().report(t)
}

// TestChaosSQLite runs one process, which is its own database and its own
// dispatcher: the faults of networks, and of Cloud Tasks, do not exist there.
func TestChaosSQLite(t *testing.T) {
	o := newOptions(t, 10*time.Second, sqliteShare)
	start(t, o, newSQLite(t), 1).execute().report(t)
}
