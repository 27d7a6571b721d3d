package sqlitestore_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/queue/storetest"
)

func TestFile(t *testing.T) {
	storetest.Run(t, harness(func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "tasks.db") }))
}

func TestMemory(t *testing.T) {
	h := harness(func(*testing.T) string { return "sqlite::memory:" })
	h.Second = nil // each store is a database of its own
	storetest.Run(t, h)
}

// TestNew runs the suite on a pool that was opened as New's documentation says.
func TestNew(t *testing.T) {
	fresh := func(t *testing.T) *sqlitestore.Store {
		db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "tasks.db")+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
		if err != nil {
			t.Fatal(err)
		}
		s := sqlitestore.New(db)
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
		OneWriter:      true,
		OpenUnmigrated: func(t *testing.T) queue.Store { return fresh(t) },
	})
}

// harness opens stores on databases that url names, by config.
func harness(url func(t *testing.T) string) storetest.Harness {
	urls := map[queue.Store]string{}
	fresh := func(t *testing.T) *sqlitestore.Store {
		at := url(t)
		s := open(t, at, sqlitestore.Config{})
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
		Second:         func(t *testing.T, store queue.Store) queue.Store { return open(t, urls[store], sqlitestore.Config{}) },
		Begin:          begin,
		SetDeleteAt:    setDeleteAt,
		SetFinishedAt:  setFinishedAt,
		OneWriter:      true,
		OpenUnmigrated: func(t *testing.T) queue.Store { return fresh(t) },
	}
}

func setDeleteAt(t *testing.T, store queue.Store, id uuid.UUID, at time.Time) {
	if _, err := store.(*sqlitestore.Store).DB().ExecContext(t.Context(), "UPDATE claimcheck_tasks SET delete_at = nullif(?, ?) WHERE id = ?", at.UnixMicro(), time.Time{}.UnixMicro(), id); err != nil {
		t.Fatal(err)
	}
}

func setFinishedAt(t *testing.T, store queue.Store, id uuid.UUID, at time.Time) {
	if _, err := store.(*sqlitestore.Store).DB().ExecContext(t.Context(), "UPDATE claimcheck_tasks SET finished_at = ? WHERE id = ?", at.UnixMicro(), id); err != nil {
		t.Fatal(err)
	}
}

// begin begins a transaction of a caller's.
func begin(t *testing.T, store queue.Store) queue.Tx {
	tx, err := store.(*sqlitestore.Store).DB().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return sqlitestore.Tx(tx)
}

func open(t *testing.T, url string, config sqlitestore.Config) *sqlitestore.Store {
	t.Helper()
	config.URL = url
	s, err := sqlitestore.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, s)
	return s
}

func closeAfter(t *testing.T, s *sqlitestore.Store) {
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func migrated(t *testing.T, url string, config sqlitestore.Config) *sqlitestore.Store {
	t.Helper()
	config.Migrate = true
	return open(t, url, config)
}

func task(delay time.Duration) *queue.NewRow {
	return &queue.NewRow{Row: &queue.Row{ID: uuid.Must(uuid.NewV7()), Task: "t", Args: json.RawMessage(`1`), MaxAttempts: 3}, Delay: delay, FreshID: true}
}

func TestOutdated(t *testing.T) {
	storetest.RunOutdated(t, migrated(t, "sqlite:"+filepath.Join(t.TempDir(), "tasks.db"), sqlitestore.Config{}))
}

// A program that knows no groups does not claim their members, and claims everything else.
func TestOutdatedForGroups(t *testing.T) {
	s := migrated(t, "sqlite:"+filepath.Join(t.TempDir(), "tasks.db"), sqlitestore.Config{})
	group := &queue.Group{ID: uuid.New()}
	if err := s.CreateGroup(t.Context(), nil, group); err != nil {
		t.Fatal(err)
	}
	plain, member := task(0), task(0)
	member.Group = group.ID
	if err := s.Insert(t.Context(), plain, member); err != nil {
		t.Fatal(err)
	}
	claim := func(id, claimID uuid.UUID) error {
		_, err := s.Claim(t.Context(), id, queue.ClaimRequest{Tasks: []string{"t"}, Worker: "w", Lease: time.Minute, ClaimID: claimID})
		return err
	}
	gates := queue.NewClaimID()
	gates[6] = 0x81
	for _, old := range []uuid.UUID{uuid.New(), gates} {
		if err := claim(member.ID, old); !errors.Is(err, queue.ErrOutdated) {
			t.Errorf("%s: %v, want ErrOutdated", old, err)
		}
	}
	if err := errors.Join(claim(plain.ID, uuid.New()), claim(member.ID, queue.NewClaimID())); err != nil {
		t.Error(err)
	}
}

func TestWhatSQLiteRefusesForItsSizeFailsAtOnce(t *testing.T) {
	s := migrated(t, "sqlite:"+filepath.Join(t.TempDir(), "tasks.db"), sqlitestore.Config{})
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

func TestInspect(t *testing.T) {
	s := open(t, "sqlite:"+filepath.Join(t.TempDir(), "t.db"), sqlitestore.Config{})
	if f, err := s.Inspect(t.Context()); err != nil || f.Product != "SQLite" || f.Version == "" || f.MaxConnections != 0 || !f.Now.IsZero() {
		t.Errorf("%+v, %v", f, err)
	}
	if version, err := s.SchemaVersion(t.Context()); err != nil || version != 0 {
		t.Errorf("version %d, %v", version, err)
	}
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if version, err := s.SchemaVersion(t.Context()); err != nil || version < 4 {
		t.Errorf("version %d, %v", version, err)
	}
}

func TestAnAcknowledgedRowIsOnDisk(t *testing.T) {
	s := open(t, "sqlite:"+t.TempDir()+"/tasks.db", sqlitestore.Config{})
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "5000"} {
		var got string
		if err := s.DB().QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, want %q (%v)", pragma, got, want, err)
		}
	}
}
