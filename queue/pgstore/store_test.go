package pgstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

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

// This program is as a later migration makes it: too old.
func TestOutdated(t *testing.T) {
	url := testdb.Postgres(t)
	s := open(t, pgstore.Config{URL: url, Migrate: true})
	testdb.Exec(t, url, `DROP TRIGGER claimcheck_claim_version ON claimcheck_tasks`)
	testdb.Exec(t, url, `CREATE TRIGGER claimcheck_claim_version AFTER UPDATE OF claim_id ON claimcheck_tasks
		FOR EACH ROW WHEN (substr(NEW.claim_id::text, 15, 2) < '81') EXECUTE FUNCTION claimcheck_refuse_claim()`)
	storetest.RunOutdated(t, s)
}

// The claims of programs from before versions set max_attempts.
func TestTheSchemaRefusesClaimsWithoutAVersion(t *testing.T) {
	url := testdb.Postgres(t)
	s := open(t, pgstore.Config{URL: url, Migrate: true})
	if err := s.Insert(t.Context(), &queue.NewRow{Row: &queue.Row{ID: uuid.Must(uuid.NewV7()), Task: "t", Queue: "q", Backend: "b", Args: []byte(`{}`), MaxAttempts: 3}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.PauseQueue(t.Context(), "another", "ops", ""); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	const claim = `UPDATE claimcheck_tasks SET status = 'RUNNING', hold = NULL, attempts = attempts + 1, max_attempts = greatest(max_attempts, attempts + 1),
		lease_expires_at = now() + interval '1 minute', claim_id = $1`
	var refused *pgconn.PgError
	if _, err := conn.Exec(t.Context(), claim, uuid.NewString()); !errors.As(err, &refused) || refused.Code != "CC001" {
		t.Errorf("without a version: %v", err)
	}
	if _, err := conn.Exec(t.Context(), claim, queue.NewClaimID().String()); err != nil {
		t.Errorf("with a version: %v", err)
	}
}

func runSuite(t *testing.T, pooler bool, open func(*testing.T, pgstore.Config) *pgstore.Store) {
	config := pgstore.Config{URL: testdb.Postgres(t), Pooler: pooler}
	migrated(t, config)
	storetest.Run(t, storetest.Harness{
		Open: func(t *testing.T) queue.Store {
			testdb.Exec(t, config.URL, "TRUNCATE claimcheck_tasks, claimcheck_gates, claimcheck_slots, claimcheck_schedules, claimcheck_occurrences, claimcheck_groups, claimcheck_group_members, claimcheck_audit, claimcheck_marks, claimcheck_figures, claimcheck_figures_pending, claimcheck_figures_state, claimcheck_state")
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
		SetFinishedAt: func(t *testing.T, _ queue.Store, id uuid.UUID, at time.Time) {
			testdb.Exec(t, config.URL, "UPDATE claimcheck_tasks SET finished_at = '"+at.Format(time.RFC3339Nano)+"' WHERE id = '"+id.String()+"'")
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
