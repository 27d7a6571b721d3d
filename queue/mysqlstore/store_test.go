package mysqlstore_test

import (
	"database/sql"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/mysqlstore"
	"github.com/claimcheck-go/claimcheck/queue/storetest"
)

func TestMariaDB(t *testing.T) {
	storetest.Run(t, harness(func(t *testing.T) string { return testdb.MariaDB(t) }))
}

// TestNew runs the suite on a pool that was opened as New's documentation says,
// whose sessions are REPEATABLE READ.
func TestNew(t *testing.T) {
	fresh := func(t *testing.T) *mysqlstore.Store {
		u, err := url.Parse(testdb.MariaDB(t))
		if err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("mysql", u.User.String()+"@tcp("+u.Host+")"+u.Path+"?parseTime=true&clientFoundRows=true&interpolateParams=true")
		if err != nil {
			t.Fatal(err)
		}
		db.SetMaxOpenConns(10)
		s := mysqlstore.New(db)
		closeAfter(t, s)
		return s
	}
	storetest.Run(t, storetest.Harness{
		Open: func(t *testing.T) queue.Store {
			s := fresh(t)
			if _, err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			return s
		},
		Begin:          begin,
		SetDeleteAt:    setDeleteAt,
		SetFinishedAt:  setFinishedAt,
		OpenUnmigrated: func(t *testing.T) queue.Store { return fresh(t) },
	})
}

// harness opens stores on databases that url names, by config.
func harness(url func(t *testing.T) string) storetest.Harness {
	urls := map[queue.Store]string{}
	fresh := func(t *testing.T) *mysqlstore.Store {
		at := url(t)
		s := open(t, at, mysqlstore.Config{})
		urls[s] = at
		return s
	}
	return storetest.Harness{
		Open: func(t *testing.T) queue.Store {
			s := fresh(t)
			if _, err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			return s
		},
		Second:         func(t *testing.T, store queue.Store) queue.Store { return open(t, urls[store], mysqlstore.Config{}) },
		Begin:          begin,
		SetDeleteAt:    setDeleteAt,
		SetFinishedAt:  setFinishedAt,
		OpenUnmigrated: func(t *testing.T) queue.Store { return fresh(t) },
	}
}

func setDeleteAt(t *testing.T, store queue.Store, id uuid.UUID, at time.Time) {
	if _, err := store.(*mysqlstore.Store).DB().ExecContext(t.Context(), "UPDATE claimcheck_tasks SET delete_at = nullif(?, ?) WHERE id = ?", at.UnixMicro(), time.Time{}.UnixMicro(), id); err != nil {
		t.Fatal(err)
	}
}

func setFinishedAt(t *testing.T, store queue.Store, id uuid.UUID, at time.Time) {
	if _, err := store.(*mysqlstore.Store).DB().ExecContext(t.Context(), "UPDATE claimcheck_tasks SET finished_at = ? WHERE id = ?", at.UnixMicro(), id); err != nil {
		t.Fatal(err)
	}
}

// begin begins a transaction of a caller's.
func begin(t *testing.T, store queue.Store) queue.Tx {
	tx, err := store.(*mysqlstore.Store).DB().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return mysqlstore.Tx(tx)
}

func open(t *testing.T, url string, config mysqlstore.Config) *mysqlstore.Store {
	t.Helper()
	config.URL = url
	s, err := mysqlstore.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, s)
	return s
}

func closeAfter(t *testing.T, s *mysqlstore.Store) {
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func migrated(t *testing.T, url string, config mysqlstore.Config) *mysqlstore.Store {
	t.Helper()
	config.Migrate = true
	return open(t, url, config)
}

func task(delay time.Duration) *queue.NewRow {
	return &queue.NewRow{Row: &queue.Row{ID: uuid.Must(uuid.NewV7()), Task: "t", Args: json.RawMessage(`1`), MaxAttempts: 3}, Delay: delay, FreshID: true}
}

func TestWhatMariaDBRefusesForItsSizeFailsAtOnce(t *testing.T) {
	url := testdb.StartMariaDB(t, "--max-allowed-packet=256K").URL("tasks")
	testdb.ExecMySQL(t, strings.TrimSuffix(url, "tasks"), "CREATE DATABASE tasks")
	storetest.RunTooLarge(t, migrated(t, url, mysqlstore.Config{}), 256<<10, "max_allowed_packet")
}
