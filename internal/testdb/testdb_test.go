package testdb_test

import (
	"net"
	"net/url"
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

func TestMariaDBKeepsItsDataThroughACrash(t *testing.T) {
	server := testdb.StartMariaDB(t)
	testdb.ExecMySQL(t, server.URL(""), "CREATE DATABASE d; CREATE TABLE d.kept (n int); INSERT INTO d.kept VALUES (1)")
	server.Crash(t)
	if _, err := net.Dial("unix", server.Socket()); err == nil {
		t.Fatal("a crashed server answers")
	}
	server.Start(t)
	testdb.ExecMySQL(t, server.URL("d"), "INSERT INTO kept SELECT n FROM kept")
	server.Stop(t)
	server.Start(t)
}

func TestMariaDBDatabasesAreApart(t *testing.T) {
	one, two := testdb.MariaDB(t), testdb.MariaDB(t)
	testdb.ExecMySQL(t, one, "CREATE TABLE here (n int)")
	testdb.ExecMySQL(t, two, "CREATE TABLE here (n int)")
}

// TestServersEndWithAKilledTest runs itself as a process that starts a server,
// and kills it.
func TestServersEndWithAKilledTest(t *testing.T) {
	if note := os.Getenv("TESTDB_CHILD"); note != "" {
		var url string
		if os.Getenv("TESTDB_KIND") == "mysql" {
			url = testdb.StartMariaDB(t).URL("")
		} else {
			url = testdb.StartPostgres(t).URL("postgres")
		}
		if err := os.WriteFile(note, []byte(url+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // until killed
	}
	for _, kind := range []string{"postgres", "mysql"} {
		t.Run(kind, func(t *testing.T) { endsWithItsTest(t, kind) })
	}
}

func endsWithItsTest(t *testing.T, kind string) {
	note := filepath.Join(t.TempDir(), "url")
	temp, err := os.MkdirTemp("", "testdb-") // not t.TempDir: the server's user must reach it
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(temp) }()
	if err := os.Chmod(temp, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run=^TestServersEndWithAKilledTest$")
	child.Env = append(os.Environ(), "TESTDB_CHILD="+note, "TESTDB_KIND="+kind, "TMPDIR="+temp)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var server *url.URL
	wait(t, "the child's server", func() bool {
		text, _ := os.ReadFile(note)
		line, whole := strings.CutSuffix(string(text), "\n")
		server, err = url.Parse(line)
		return whole && err == nil
	})
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	wait(t, "the server's end", func() bool {
		conn, err := net.DialTimeout("tcp", server.Host, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	wait(t, "the removal of its files", func() bool {
		left, err := filepath.Glob(filepath.Join(temp, "claimcheck-test-*"))
		return err == nil && len(left) == 0
	})
}

func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("timed out waiting for %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
