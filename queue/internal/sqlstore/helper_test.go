package sqlstore_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/mysqlstore"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// config is what both stores have.
type config struct {
	AcquireTimeout time.Duration
	Observe        func(ctx context.Context, op string) (ended func(error))

	// Of MySQL only.
	MaxConns int
	DialFunc func(ctx context.Context, network, address string) (net.Conn, error)
}

// store is a Store of either package.
type store struct {
	full
	tx func(*sql.Tx) queue.Tx
}

type full interface {
	queue.Store
	queue.Operator
	queue.Lifecycle
	queue.Gatekeeper
	queue.Limiter
	DB() *sql.DB
	Close() error
}

// migrated opens a database and brings its tables up to date.
func migrated(t *testing.T, url string, c config) store {
	t.Helper()
	var s store
	var err error
	if strings.HasPrefix(url, "sqlite:") {
		s.tx = sqlitestore.Tx
		s.full, err = sqlitestore.Open(t.Context(), sqlitestore.Config{URL: url, AcquireTimeout: c.AcquireTimeout, Observe: c.Observe, Migrate: true})
	} else {
		s.tx = mysqlstore.Tx
		s.full, err = mysqlstore.Open(t.Context(), mysqlstore.Config{
			URL: url, AcquireTimeout: c.AcquireTimeout, Observe: c.Observe, MaxConns: c.MaxConns, DialFunc: c.DialFunc, Migrate: true,
		})
	}
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

func task(delay time.Duration) *queue.NewRow {
	return &queue.NewRow{Row: &queue.Row{ID: uuid.Must(uuid.NewV7()), Task: "t", Args: json.RawMessage(`1`), MaxAttempts: 3}, Delay: delay, FreshID: true}
}

func claimRequest() queue.ClaimRequest {
	return queue.ClaimRequest{Tasks: []string{"t"}, Worker: "w", Lease: time.Minute, ClaimID: uuid.New()}
}

// dedicated starts a server of the test's own, and returns the URL of a database on
// it.
func dedicated(t *testing.T, options ...string) string {
	t.Helper()
	server := testdb.StartMariaDB(t, options...)
	testdb.ExecMySQL(t, server.URL(""), "CREATE DATABASE tasks")
	return server.URL("tasks")
}
