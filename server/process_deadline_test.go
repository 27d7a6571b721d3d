package server

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/claimcheck-go/claimcheck/internal/chaos/proxy"
	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/internal/testproc"
)

// lockedTable is a migrated database of which a session of the test's holds the
// table, so that no statement on it has an answer.
type lockedTable struct {
	url     string
	env     []string
	monitor *sql.DB
	waiting string // a query that counts the statements that wait
}

func lockedPostgres(t *testing.T) lockedTable {
	t.Helper()
	databaseURL := testdb.StartPostgres(t).URL("postgres")
	monitor, err := sql.Open("pgx", databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	return lockTable(t, lockedTable{url: databaseURL, monitor: monitor,
		waiting: `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'`}, "BEGIN", "LOCK TABLE claimcheck_tasks IN ACCESS EXCLUSIVE MODE")
}

func lockedMariaDB(t *testing.T) lockedTable {
	t.Helper()
	databaseURL := testdb.MariaDB(t)
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr, config.DBName = u.User.Username(), "tcp", u.Host, strings.TrimPrefix(u.Path, "/")
	monitor, err := sql.Open("mysql", config.FormatDSN())
	if err != nil {
		t.Fatal(err)
	}
	return lockTable(t, lockedTable{url: databaseURL, monitor: monitor,
		waiting: `SELECT count(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for table%' AND db = database()`}, "LOCK TABLES claimcheck_tasks WRITE")
}

func lockTable(t *testing.T, l lockedTable, statements ...string) lockedTable {
	t.Helper()
	t.Cleanup(func() { _ = l.monitor.Close() })
	l.env = []string{"DATABASE_URL=" + l.url, "TASKS_MODE=pull"}
	if result := procRun(t, t.TempDir(), l.env, "", "migrate"); result.status != 0 {
		t.Fatalf("migrate: %+v", result)
	}
	conn, err := l.monitor.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	for _, statement := range statements {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// waitUntil waits until so many statements wait for the table.
func (l lockedTable) waitUntil(t *testing.T, want int) {
	t.Helper()
	procWait(t, "statements to wait", func() bool {
		var n int
		if err := l.monitor.QueryRowContext(context.Background(), l.waiting).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == want
	})
}

// eachLocked runs a test on each kind of server.
func eachLocked(t *testing.T, test func(*testing.T, lockedTable)) {
	for name, locked := range map[string]func(*testing.T) lockedTable{"PostgreSQL": lockedPostgres, "MariaDB": lockedMariaDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, locked(t))
		})
	}
}

func TestEveryCommandEndsWhenAStatementHasNoAnswer(t *testing.T) {
	t.Parallel()
	eachLocked(t, func(t *testing.T, locked lockedTable) {
		const id = "01890a5d-ac96-774b-bcce-b302099a8057"
		var group sync.WaitGroup
		for _, args := range []string{
			"enqueue demo.echo", "run " + id, "result " + id, "status", "purge", "purge --dry-run",
			"requeue --older-than 15m", "requeue --older-than 15m --dry-run", "sweep", "work",
		} {
			group.Go(func() {
				result := procRun(t, t.TempDir(), locked.env, "", strings.Fields(args)...)
				lines := strings.Split(strings.TrimSpace(result.stderr), "\n")
				last := lines[len(lines)-1]
				said := strings.Contains(last, "the database did not answer within 10s") || strings.Contains(last, "Lock wait timeout")
				if result.status != 1 || !said || !strings.HasPrefix(last, "server: ") {
					t.Errorf("%s: %+v", args, result)
				}
			})
		}
		group.Wait()
		locked.waitUntil(t, 0) // the server has no statement of theirs left
	})
}

func TestSignalCancelsTheStatementOfACommand(t *testing.T) {
	t.Parallel()
	eachLocked(t, func(t *testing.T, locked lockedTable) {
		for _, args := range []string{"purge", "purge --dry-run", "status", "requeue --older-than 15m", "sweep", "enqueue demo.echo", "migrate"} {
			if args == "migrate" { // it wants the table again
				if _, err := locked.monitor.ExecContext(t.Context(), "DELETE FROM claimcheck_schema WHERE version_id > 1"); err != nil {
					t.Fatal(err)
				}
			}
			command := procCommand(t, procPatience, t.TempDir(), locked.env, strings.Fields(args)...)
			log := testproc.NewLog(t, command)
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			locked.waitUntil(t, 1)
			began := time.Now()
			if err := command.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			_ = command.Wait()
			if took := time.Since(began); command.ProcessState.ExitCode() != 1 || took > 8*time.Second || !strings.Contains(log.String(), "interrupted") {
				t.Errorf("%s: exit status %d after %s: %s", args, command.ProcessState.ExitCode(), took, log)
			}
			locked.waitUntil(t, 0)
		}
	})
}

// A connection that has gone silent keeps a command no longer than a lock does.
func TestCommandEndsWhenItsConnectionIsSilent(t *testing.T) {
	t.Parallel()
	locked := lockedPostgres(t)
	u, err := url.Parse(locked.url)
	if err != nil {
		t.Fatal(err)
	}
	wire, err := proxy.Start(u.Host, proxy.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	defer wire.Close()
	u.Host, u.RawQuery = wire.Addr(), "sslmode=disable" // what the proxy can read
	command := procCommand(t, procPatience, t.TempDir(), []string{"DATABASE_URL=" + u.String()}, "status")
	log := testproc.NewLog(t, command)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	locked.waitUntil(t, 1)
	wire.Blackhole(1, time.Minute, rand.New(rand.NewPCG(1, 2))) //nolint:gosec // no secret
	_ = command.Wait()
	if command.ProcessState.ExitCode() != 1 || !strings.Contains(log.String(), "count tasks: the database did not answer within 10s") {
		t.Errorf("exit status %d: %s", command.ProcessState.ExitCode(), log)
	}
}

// A signal ends a command that waits for its input.
func TestSignalEndsACommandThatReads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	command := procCommand(t, procPatience, dir, nil, "enqueue", "-")
	log := testproc.NewLog(t, command)
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close() }()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	// A thousand lines are stored, and show that it reads.
	if _, err := stdin.Write([]byte(strings.Repeat(`{"task":"demo.echo"}`+"\n", 1100))); err != nil {
		t.Fatal(err)
	}
	procWait(t, "a chunk to be stored", func() bool { return strings.Count(log.String(), "\n") >= 1000 })
	if err := command.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait() // without the signal it reads until it is killed
	if command.ProcessState.ExitCode() != 1 ||
		!strings.Contains(log.String(), "interrupted: line 1001") || !strings.Contains(log.String(), "1000 tasks of the lines before are stored") {
		t.Errorf("exit status %d: %.2000s", command.ProcessState.ExitCode(), log)
	}
}
