// Package testdb starts private PostgreSQL and MariaDB servers for tests.
//
// [Postgres] returns the URL of an empty schema, and [MariaDB] that of an empty database,
// on a server that all tests of the process share; [StartPostgres] and [StartMariaDB]
// start a server that one test may stop and crash. The servers are the installed
// programs, those on PATH first, which run as an ordinary user in a temporary directory
// and end with the test process, even if that is killed. A missing program fails the
// test: nothing is skipped.
package testdb

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// ServerVariable names a server, by a superuser's URL, that Postgres uses instead of
// starting one.
const ServerVariable = "CLAIMCHECK_TEST_POSTGRES"

// shared is the server of this test process. The variable keeps its pipe referenced: an
// unreferenced pipe is closed, and the server ends with it.
var shared = sync.OnceValues(func() (*Server, error) {
	server, err := newServer()
	if err != nil {
		return nil, err
	}
	if err := server.start(); err != nil {
		server.remove()
		return nil, err
	}
	return server, nil
})

// Postgres returns a URL with an empty schema of its own (a database of its own
// would cost tens of times as much), dropped when the test ends.
func Postgres(tb testing.TB) string {
	tb.Helper()
	base := os.Getenv(ServerVariable)
	if base == "" {
		server, err := shared()
		if err != nil {
			tb.Fatal(err)
		}
		base = server.URL("postgres")
	}
	u, err := url.Parse(base)
	if err != nil {
		tb.Fatalf("%s is not a URL", ServerVariable)
	}
	schema := fmt.Sprintf("claimcheck_test_%d_%d", os.Getpid(), time.Now().UnixNano())
	Exec(tb, base, "CREATE SCHEMA "+schema)
	tb.Cleanup(func() { Exec(tb, base, "DROP SCHEMA "+schema+" CASCADE") })
	query := u.Query()
	query.Set("search_path", schema)
	u.RawQuery = query.Encode()
	return u.String()
}

// Exec runs SQL statements on the database at databaseURL.
func Exec(tb testing.TB, databaseURL, sql string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		tb.Fatalf("test database: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		tb.Fatalf("test database: %s: %v", sql, err)
	}
}
