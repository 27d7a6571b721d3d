package sqlitestore_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

func TestOpenSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	notADatabase := filepath.Join(dir, "note.txt")
	if err := os.WriteFile(notADatabase, []byte(strings.Repeat("not a database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for url, mentions := range map[string]string{
		"":                                      "sqlite:PATH or sqlite::memory:",
		"sqlite:":                               "sqlite:PATH or sqlite::memory:",
		"sqlite:///:memory:":                    "is named sqlite::memory:",
		"sqlite::memory":                        "is named sqlite::memory:",
		"sqlite:file::memory:":                  "is named sqlite::memory:",
		"tasks.db":                              "write sqlite:tasks.db",
		"postgres://u:s3cret@h/x":               "with package pgstore",
		"postgres://":                           "with package pgstore",
		"sqlite:" + dir + "/missing/tasks.db":   "there is no directory " + dir + "/missing",
		"sqlite:" + notADatabase + "/tasks.db":  "there is no directory " + notADatabase,
		"sqlite:" + notADatabase:                notADatabase,
		"sqlite:" + dir:                         dir,
		"sqlite://" + dir + "/missing/tasks.db": "there is no directory " + dir + "/missing",
	} {
		s, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: url})
		if err == nil {
			_ = s.Close()
			t.Errorf("%s was opened", url)
			continue
		}
		t.Log(err)
		if !strings.Contains(err.Error(), mentions) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestAnyPathWillDo(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"tasks.db", "a b.db", "100%.db", "what?.db", "a#b.db", "żółw.db", "a&_txlock=x.db"} {
		s := migrated(t, "sqlite:"+name, sqlitestore.Config{})
		if err := s.Insert(t.Context(), task(0)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
}

func TestRowsOutliveTheStore(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "tasks.db")
	first := migrated(t, url, sqlitestore.Config{})
	row := task(0)
	if err := first.Insert(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := open(t, url, sqlitestore.Config{})
	if err := second.CheckSchema(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := second.Get(t.Context(), row.ID); err != nil {
		t.Error(err)
	}
}

func TestManyMayMigrateAtOnce(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "tasks.db")
	var applied atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		s := open(t, url, sqlitestore.Config{})
		group.Go(func() {
			done, err := s.Migrate(t.Context())
			if err != nil {
				t.Error(err)
			}
			applied.Add(int64(len(done)))
		})
	}
	group.Wait()
	all, err := open(t, url, sqlitestore.Config{}).MigrationStatus(t.Context())
	if n := applied.Load(); err != nil || n != int64(len(all)) {
		t.Errorf("%d migrations were applied, of %d: %v", n, len(all), err)
	}
}

// A worker and a command that are started together make the file together.
func TestManyMayOpenANewFileAtOnce(t *testing.T) {
	for range 10 {
		url := "sqlite:" + filepath.Join(t.TempDir(), "tasks.db")
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				s, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: url, Migrate: true})
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	}
}

func TestMigrationStatus(t *testing.T) {
	s := open(t, "sqlite::memory:", sqlitestore.Config{})
	for _, pending := range []bool{true, false} {
		status, err := s.MigrationStatus(t.Context())
		if err != nil || len(status) == 0 || status[0].Version != 1 || status[0].AppliedAt.IsZero() != pending {
			t.Errorf("MigrationStatus: %+v, %v", status, err)
		}
		if err := s.CheckSchema(t.Context()); errors.Is(err, queue.ErrSchema) != pending {
			t.Errorf("CheckSchema: %v", err)
		}
		if _, err := s.Migrate(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestMigrationSQLDoesWhatMigrateDoes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(sqlitestore.MigrationSQL()); err != nil {
		t.Fatal(err)
	}
	s := open(t, "sqlite:"+path, sqlitestore.Config{})
	if err := s.CheckSchema(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Insert(t.Context(), task(0)); err != nil {
		t.Error(err)
	}
}

func TestAnotherProcessHoldsTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	s := migrated(t, "sqlite:"+path, sqlitestore.Config{AcquireTimeout: 20 * time.Millisecond})
	other, err := sql.Open("sqlite", path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	tx, err := other.Begin()
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 2 { // one waits for the file, one for its turn
		group.Go(func() {
			if err := s.Insert(t.Context(), task(0)); !errors.Is(err, queue.ErrUnavailable) || !strings.Contains(err.Error(), path) {
				t.Errorf("Insert: %v", err)
			}
		})
	}
	group.Wait()
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := s.Insert(t.Context(), task(0)); err != nil {
		t.Error(err)
	}
}

// TestTheClockIsTheBubbles shows that hours pass in no time under synctest.
func TestTheClockIsTheBubbles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := migrated(t, "sqlite::memory:", sqlitestore.Config{})
		row := task(5 * time.Hour)
		if err := s.Insert(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		p, err := s.Promote(t.Context(), 10)
		if err != nil || p != (queue.PromoteResult{Next: 5 * time.Hour}) {
			t.Fatalf("Promote: %+v, %v", p, err)
		}
		time.Sleep(p.Next)
		p, err = s.Promote(t.Context(), 10)
		if err != nil || p != (queue.PromoteResult{Released: 1, Claimable: true}) {
			t.Fatalf("Promote: %+v, %v", p, err)
		}
	})
}
