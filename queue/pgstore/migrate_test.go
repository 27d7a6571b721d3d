package pgstore_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

func TestManyMayMigrateAtOnce(t *testing.T) {
	for _, pooler := range []bool{false, true} {
		url := testdb.Postgres(t)
		var applied atomic.Int64
		var group sync.WaitGroup
		for range 8 {
			s := open(t, pgstore.Config{URL: url, MaxConns: 2, Pooler: pooler})
			group.Go(func() {
				done, err := s.Migrate(t.Context())
				if err != nil {
					t.Error(err)
				}
				applied.Add(int64(len(done)))
			})
		}
		start := time.Now()
		group.Wait()
		all, err := open(t, pgstore.Config{URL: url}).MigrationStatus(t.Context())
		if n := applied.Load(); err != nil || n != int64(len(all)) {
			t.Errorf("%d migrations were applied %d times in all, %v", len(all), n, err)
		}
		if d := time.Since(start); d > time.Minute {
			t.Errorf("it took %s", d)
		}
	}
}

func TestMigrationStatus(t *testing.T) {
	s := open(t, pgstore.Config{URL: testdb.Postgres(t)})
	check := func(schema error, pending bool) {
		t.Helper()
		if err := s.CheckSchema(t.Context()); !errors.Is(err, schema) {
			t.Errorf("CheckSchema: %v", err)
		}
		status, err := s.MigrationStatus(t.Context())
		if err != nil || len(status) == 0 || status[0].Version != 1 || status[0].Name != "00001_tasks.sql" || status[0].AppliedAt.IsZero() != pending {
			t.Errorf("MigrationStatus: %+v, %v", status, err)
		}
	}
	check(queue.ErrSchema, true)
	check(queue.ErrSchema, true) // asking has changed nothing
	applied, err := s.Migrate(t.Context())
	if err != nil || len(applied) == 0 || applied[0].Version != 1 || applied[0].Took <= 0 {
		t.Errorf("Migrate: %+v, %v", applied, err)
	}
	check(nil, false)
	if applied, err := s.Migrate(t.Context()); err != nil || len(applied) != 0 {
		t.Errorf("Migrate again: %+v, %v", applied, err)
	}
}

func TestASchemaFromTheFutureIsFine(t *testing.T) {
	url := testdb.Postgres(t)
	s := migrated(t, pgstore.Config{URL: url})
	testdb.Exec(t, url, "INSERT INTO claimcheck_schema (version_id, is_applied) VALUES (999, true)")
	if err := s.CheckSchema(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestMigrationSQLDoesWhatMigrateDoes(t *testing.T) {
	url := testdb.Postgres(t)
	testdb.Exec(t, url, pgstore.MigrationSQL())
	s := open(t, pgstore.Config{URL: url})
	if err := s.CheckSchema(t.Context()); err != nil {
		t.Error(err)
	}
	if applied, err := s.Migrate(t.Context()); err != nil || len(applied) != 0 {
		t.Errorf("Migrate: %+v, %v", applied, err)
	}
	if err := s.Insert(t.Context(), task()); err != nil {
		t.Error(err)
	}
}
