package pgstore_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
	"github.com/claimcheck-go/claimcheck/queue/storetest"
)

// lockRows locks rows until the test ends.
func lockRows(t *testing.T, url string, ids ...uuid.UUID) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	tx, err := conn.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), "SELECT FROM claimcheck_tasks WHERE id = ANY($1) FOR UPDATE", ids)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestLockedRowsDelayNothingElse(t *testing.T) {
	for name, config := range map[string]pgstore.Config{"direct": {}, "for a pooler": {Pooler: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config.URL, config.MaxConns = testdb.Postgres(t), 4
			s := migrated(t, config)
			storetest.LockedRows(t, s, func(t *testing.T, ids ...uuid.UUID) { lockRows(t, config.URL, ids...) })
		})
	}
}
