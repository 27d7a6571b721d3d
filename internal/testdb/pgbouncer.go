package testdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// PgBouncer is a transaction pooler in front of a PostgreSQL server.
type PgBouncer struct{ *guarded }

// StartPgBouncer starts a pooler in transaction mode that has size connections to
// each database of the server, and lasts until the test ends.
func StartPgBouncer(tb testing.TB, server *Server, size int) *PgBouncer {
	tb.Helper()
	program, err := findPgBouncer()
	if err != nil {
		tb.Fatal(err)
	}
	g, err := newGuarded("PgBouncer", "KILL", "postgres")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(g.remove)
	b := &PgBouncer{g}
	config := fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
admin_users = postgres
auth_type = trust
auth_file = %s
pool_mode = transaction
default_pool_size = %d
`, server.port.Number, b.port.Number, b.file("users.txt"), size)
	err = errors.Join(
		os.WriteFile(b.file("pgbouncer.ini"), []byte(config), 0o644),            //nolint:gosec // the server's user reads it
		os.WriteFile(b.file("users.txt"), []byte("\"postgres\" \"\"\n"), 0o644)) //nolint:gosec // likewise
	if err == nil {
		err = g.start(b.ready, program, b.file("pgbouncer.ini"))
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// URL returns the superuser's URL of a database behind the pooler.
func (b *PgBouncer) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s", b.port.Number, database)
}

func (b *PgBouncer) file(name string) string { return filepath.Join(b.dir, name) }

// ready waits until the pooler answers.
func (b *PgBouncer) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, b.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

func findPgBouncer() (string, error) {
	if path, err := exec.LookPath("pgbouncer"); err == nil {
		return path, nil
	}
	if _, err := os.Stat("/usr/sbin/pgbouncer"); err == nil {
		return "/usr/sbin/pgbouncer", nil
	}
	return "", errors.New("these tests need PgBouncer: apt-get install pgbouncer")
}
