package testdb_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
)

func TestServerKeepsItsDataThroughACrash(t *testing.T) {
	server := testdb.StartPostgres(t)
	testdb.Exec(t, server.URL("postgres"), "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)")
	server.Crash(t)
	if _, err := pgx.Connect(t.Context(), server.URL("postgres")); err == nil {
		t.Fatal("a crashed server answers")
	}
	server.Start(t)
	testdb.Exec(t, server.URL("postgres"), "INSERT INTO kept SELECT n FROM kept")
	server.Stop(t)
	server.Start(t)
}

func TestSchemasAreApart(t *testing.T) {
	one, two := testdb.Postgres(t), testdb.Postgres(t)
	testdb.Exec(t, one, "CREATE TABLE here (n int)")
	testdb.Exec(t, two, "CREATE TABLE here (n int)")
}

// TestServerEndsWithAKilledTest runs itself as a process that starts a server,
// and kills it.
func TestServerEndsWithAKilledTest(t *testing.T) {
	if os.Getenv("TESTDB_CHILD") != "" {
		server := testdb.StartPostgres(t)
		if err := os.WriteFile(os.Getenv("TESTDB_CHILD"), []byte(server.URL("postgres")), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // until killed
	}
	note := filepath.Join(t.TempDir(), "url")
	temp, err := os.MkdirTemp("", "testdb-") // not t.TempDir: the server's user must reach it
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(temp) }()
	if err := os.Chmod(temp, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run=^TestServerEndsWithAKilledTest$")
	child.Env = append(os.Environ(), "TESTDB_CHILD="+note, "TMPDIR="+temp)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var url string
	wait(t, "the child's server", func() bool {
		text, _ := os.ReadFile(note)
		url = string(text)
		return strings.HasPrefix(url, "postgres://")
	})
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	wait(t, "the server's end", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, url)
		if err == nil {
			_ = conn.Close(ctx)
		}
		return err != nil && !errors.Is(err, context.DeadlineExceeded)
	})
	wait(t, "the removal of its files", func() bool {
		left, err := filepath.Glob(filepath.Join(temp, "claimcheck-postgres-*"))
		return err == nil && len(left) == 0
	})
}

func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
