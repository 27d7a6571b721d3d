package sqlstore_test

import (
	"path/filepath"
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlstore"
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

func TestMariaDB(t *testing.T) {
	storetest.Run(t, harness(func(t *testing.T) string { return testdb.MariaDB(t) }))
}

func harness(url func(t *testing.T) string) storetest.Harness {
	urls := map[queue.Store]string{}
	fresh := func(t *testing.T) *sqlstore.Store {
		at := url(t)
		s := open(t, at, sqlstore.Config{})
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
		Second: func(t *testing.T, store queue.Store) queue.Store {
			return open(t, urls[store], sqlstore.Config{})
		},
		Begin: func(t *testing.T, store queue.Store) queue.Tx {
			tx, err := store.(*sqlstore.Store).DB().BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			return sqlstore.Tx(tx)
		},
		OpenUnmigrated: func(t *testing.T) queue.Store { return fresh(t) },
	}
}

func open(t *testing.T, url string, config sqlstore.Config) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), url, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
