package server

import (
	"context"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/internal/testproc"
)

// pooledPostgres is a database behind a PgBouncer that has one connection to it,
// and the environment of programs that use it.
func pooledPostgres(t *testing.T) (pooler *testdb.PgBouncer, env []string) {
	t.Helper()
	pooler = testdb.StartPgBouncer(t, testdb.StartPostgres(t), 1)
	return pooler, []string{"DATABASE_URL=" + pooler.URL("postgres"), "DB_POOLER=true"}
}

// holdConnection takes the pooler's only connection, and returns what releases it.
func holdConnection(t *testing.T, pooler *testdb.PgBouncer) (release func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pooler.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() { _ = conn.Close(context.Background()) })
	t.Cleanup(release)
	return release
}

// A pooler accepts connections while it has none to the server to give, and lets
// their first statement wait for two minutes.
func TestEveryCommandEndsWhenThePoolerHasNoConnection(t *testing.T) {
	t.Parallel()
	pooler, env := pooledPostgres(t)
	if result := procRun(t, t.TempDir(), env, "", "migrate"); result.status != 0 {
		t.Fatalf("migrate through a pool of one: %+v", result)
	}
	holdConnection(t, pooler)
	const id = "01890a5d-ac96-774b-bcce-b302099a8057"
	var group sync.WaitGroup
	for _, args := range []string{
		"serve --listen 127.0.0.1:0", "work", "work --continuous", "enqueue demo.echo", "run " + id, "result " + id, "status",
		"purge", "requeue --older-than 15m", "sweep", "migrate", "migrate status",
	} {
		group.Go(func() {
			result := procRun(t, t.TempDir(), env, "", strings.Fields(args)...)
			if result.status != 1 ||
				!strings.Contains(result.stderr, "no connection to PostgreSQL at 127.0.0.1:") || !strings.Contains(result.stderr, "within 5s: the pooler accepts connections") {
				t.Errorf("%s: %+v", args, result)
			}
			if n := strings.Count(result.stderr, "\n"); n != 1 {
				t.Errorf("%s: %d lines: %s", args, n, result.stderr)
			}
		})
	}
	group.Wait()
}

func TestServerThatWaitsForAPoolerEndsWithASignal(t *testing.T) {
	t.Parallel()
	pooler, env := pooledPostgres(t)
	holdConnection(t, pooler)
	command := procCommand(t, procPatience, t.TempDir(), append(env, "LOG_LEVEL=debug"), "serve", "--listen", "127.0.0.1:0")
	log := testproc.NewLog(t, command)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	waitForWaitingClient(t, pooler)
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil { // without the signal it fails when the pooler has had no connection for 5s
		t.Errorf("%v: %s", err, log)
	}
}

// waitForWaitingClient waits until a client of the pooler waits for a connection.
func waitForWaitingClient(t *testing.T, pooler *testdb.PgBouncer) {
	t.Helper()
	config, err := pgx.ParseConfig(pooler.URL("pgbouncer"))
	if err != nil {
		t.Fatal(err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // all that its console knows
	admin, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(context.Background()) }()
	procWait(t, "a client to wait", func() bool {
		rows, err := admin.Query(t.Context(), "SHOW POOLS")
		if err != nil {
			t.Fatal(err)
		}
		waiting := false
		for rows.Next() {
			row := string(rows.RawValues()[0]) + " " + string(rows.RawValues()[3])
			waiting = waiting || row == "postgres 1"
		}
		rows.Close()
		return waiting
	})
}
