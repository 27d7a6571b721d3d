package pgstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
	"github.com/claimcheck-go/claimcheck/queue/storetest"
)

func TestStore(t *testing.T) { runSuite(t, false, open) }

func TestStoreForPooler(t *testing.T) { runSuite(t, true, open) }

// Here each call is a part of a batched statement.
func TestStoreMerged(t *testing.T) {
	runSuite(t, false, func(t *testing.T, config pgstore.Config) *pgstore.Store {
		s := open(t, config)
		s.Single(false)
		return s
	})
}

func TestOutdated(t *testing.T) {
	storetest.RunOutdated(t, open(t, pgstore.Config{URL: testdb.Postgres(t), Migrate: true}))
}

func runSuite(t *testing.T, pooler bool, open func(*testing.T, pgstore.Config) *pgstore.Store) {
	config := pgstore.Config{URL: testdb.Postgres(t), Pooler: pooler}
	migrated(t, config)
	storetest.Run(t, storetest.Harness{
		Open: func(t *testing.T) queue.Store {
			testdb.Exec(t, config.URL, "TRUNCATE claimcheck_tasks, claimcheck_gates, claimcheck_slots, claimcheck_schedules, claimcheck_occurrences")
			return open(t, config)
		},
		Second: func(t *testing.T, _ queue.Store) queue.Store { return open(t, config) },
		Begin: func(t *testing.T, _ queue.Store) queue.Tx {
			conn, err := pgx.Connect(t.Context(), config.URL)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return pgstore.Tx(tx)
		},
		SetDeleteAt: func(t *testing.T, _ queue.Store, id uuid.UUID, at time.Time) {
			value := "NULL"
			if !at.IsZero() {
				value = "'" + at.Format(time.RFC3339Nano) + "'"
			}
			testdb.Exec(t, config.URL, "UPDATE claimcheck_tasks SET delete_at = "+value+" WHERE id = '"+id.String()+"'")
		},
		OpenUnmigrated: func(t *testing.T) queue.Store {
			return open(t, pgstore.Config{URL: testdb.Postgres(t), Pooler: pooler})
		},
	})
}

func open(t *testing.T, config pgstore.Config) *pgstore.Store {
	t.Helper()
	s, err := pgstore.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func migrated(t *testing.T, config pgstore.Config) *pgstore.Store {
	t.Helper()
	s := open(t, config)
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}
