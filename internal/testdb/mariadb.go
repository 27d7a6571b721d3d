package testdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// MySQLVariable names a server (as mysql://root:password@host:port/) for
// MariaDB to use instead of starting one: MySQL 8, for example.
const MySQLVariable = "CLAIMCHECK_TEST_MYSQL"

// MariaDBServer is a MariaDB server of one test.
type MariaDBServer struct {
	*guarded
	mariadbd, install string // the programs
	options           []string
}

// sharedMariaDB is the server of this test process; see shared.
var sharedMariaDB = sync.OnceValues(func() (*MariaDBServer, error) {
	server, err := newMariaDB()
	if err != nil {
		return nil, err
	}
	if err := server.start(); err != nil {
		server.remove()
		return nil, err
	}
	return server, nil
})

// MariaDB returns the URL, mysql://root@host:port/name, of an empty database,
// dropped when the test ends.
func MariaDB(tb testing.TB) string {
	tb.Helper()
	base := os.Getenv(MySQLVariable)
	if base == "" {
		server, err := sharedMariaDB()
		if err != nil {
			tb.Fatal(err)
		}
		base = server.URL("")
	}
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "mysql" {
		tb.Fatalf("%s is not a URL such as mysql://root:password@127.0.0.1:3306/", MySQLVariable)
	}
	name := fmt.Sprintf("claimcheck_test_%d_%d", os.Getpid(), time.Now().UnixNano())
	ExecMySQL(tb, base, "CREATE DATABASE "+name)
	tb.Cleanup(func() { ExecMySQL(tb, base, "DROP DATABASE "+name) })
	u.Path = "/" + name
	return u.String()
}

// StartMariaDB starts a server that lasts until the test ends, with options
// for mariadbd.
func StartMariaDB(tb testing.TB, options ...string) *MariaDBServer {
	tb.Helper()
	s, err := newMariaDB(options...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.remove)
	s.Start(tb)
	return s
}

// URL returns root's URL of a database on the server.
func (s *MariaDBServer) URL(database string) string {
	return fmt.Sprintf("mysql://root@127.0.0.1:%d/%s", s.port.Number, database)
}

// Socket returns the path of the server's socket.
func (s *MariaDBServer) Socket() string { return filepath.Join(s.dir, "socket") }

// Start starts the server again after Stop or Crash, on the same port.
func (s *MariaDBServer) Start(tb testing.TB) {
	tb.Helper()
	if err := s.start(); err != nil {
		tb.Fatal(err)
	}
}

// Stop shuts the server down in order; clients are cut off.
func (s *MariaDBServer) Stop(tb testing.TB) { tb.Helper(); s.end(tb, syscall.SIGTERM) }

// Crash kills the server: the next Start recovers.
func (s *MariaDBServer) Crash(tb testing.TB) { tb.Helper(); s.end(tb, syscall.SIGKILL) }

func (s *MariaDBServer) end(tb testing.TB, signal syscall.Signal) {
	tb.Helper()
	if err := s.guarded.end(s.pid, signal); err != nil {
		tb.Fatal(err)
	}
}

func (s *MariaDBServer) pid() (int, error) {
	text, err := os.ReadFile(filepath.Join(s.dir, "pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// newMariaDB makes an empty data directory.
func newMariaDB(options ...string) (*MariaDBServer, error) {
	server, err1 := find("mariadbd", "mysqld")
	install, err2 := find("mariadb-install-db", "mysql_install_db")
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("these tests need MariaDB's programs (%w): apt-get install mariadb-server, or set %s to root's URL of a server", err, MySQLVariable)
	}
	g, err := newGuarded("MariaDB", "KILL", "mysql")
	if err != nil {
		return nil, err
	}
	s := &MariaDBServer{guarded: g, mariadbd: server, install: install, options: options}
	installer := s.command(s.install, "--no-defaults", "--datadir="+s.data(), "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
	if out, err := installer.CombinedOutput(); err != nil {
		s.remove()
		return nil, fmt.Errorf("test MariaDB: %s: %w\n%s", s.install, err, out)
	}
	return s, nil
}

// find returns the first of the programs that is there; Debian keeps servers
// out of the PATH of ordinary users.
func find(names ...string) (string, error) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
		if path, err := exec.LookPath("/usr/sbin/" + name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no %s", names[0])
}

func (s *MariaDBServer) data() string { return filepath.Join(s.dir, "data") }

func (s *MariaDBServer) start() error {
	args := append([]string{
		"--no-defaults", "--datadir=" + s.data(), "--socket=" + s.Socket(), "--pid-file=" + filepath.Join(s.dir, "pid"),
		"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(s.port.Number), "--skip-name-resolve", "--max-connections=200",
		// A commit is written, but not forced to disk: it outlives a crash of
		// the server, which is all that tests make.
		"--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M",
	}, s.options...)
	return s.guarded.start(s.ready, s.mariadbd, args...)
}

// ready waits until the server answers.
func (s *MariaDBServer) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	db, err := openMySQL(s.URL(""))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// ExecMySQL runs SQL statements on the database at databaseURL, as root.
func ExecMySQL(tb testing.TB, databaseURL, statements string) {
	tb.Helper()
	db, err := openMySQL(databaseURL)
	if err != nil {
		tb.Fatalf("test database: %v", err)
	}
	defer func() { _ = db.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if _, err := db.ExecContext(ctx, statements); err != nil {
		tb.Fatalf("test database: %s: %v", statements, err)
	}
}

func openMySQL(databaseURL string) (*sql.DB, error) {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return nil, err
	}
	config := mysql.NewConfig()
	config.Net, config.Addr, config.DBName = "tcp", u.Host, strings.TrimPrefix(u.Path, "/")
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	config.MultiStatements, config.Logger = true, &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}
