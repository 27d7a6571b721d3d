package testdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// PasswordRole is the one role whose password the servers check; tests that need it
// create it. All other roles are trusted.
const PasswordRole = "needs_password"

// Server is a PostgreSQL server of one test.
type Server struct {
	*guarded
	bin     string // directory of the programs
	options []string
}

// StartPostgres starts a server that lasts until the test ends, with options for
// postgres.
func StartPostgres(tb testing.TB, options ...string) *Server {
	tb.Helper()
	s, err := newServer(options...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.remove)
	s.Start(tb)
	return s
}

// URL returns the superuser's URL of a database on the server.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s", s.port.Number, database)
}

// Socket returns the path of the server's socket.
func (s *Server) Socket() string {
	return filepath.Join(s.dir, ".s.PGSQL."+strconv.Itoa(s.port.Number))
}

// Start starts the server again after Stop or Crash, on the same port.
func (s *Server) Start(tb testing.TB) {
	tb.Helper()
	if err := s.start(); err != nil {
		tb.Fatal(err)
	}
}

// Stop shuts the server down in order; clients are cut off.
func (s *Server) Stop(tb testing.TB) { tb.Helper(); s.end(tb, syscall.SIGINT) }

// Crash ends the server at once, without a checkpoint: the next Start recovers.
// (SIGKILL would leave shared memory behind.)
func (s *Server) Crash(tb testing.TB) { tb.Helper(); s.end(tb, syscall.SIGQUIT) }

// HoldLog stops the background process that writes the log of transactions that do not
// wait for the disk: until another transaction waits for it, they are lost in a crash.
// LoseLog ends that process, which the server takes as a crash: it ends all
// connections, recovers and continues.
func (s *Server) HoldLog(tb testing.TB) { tb.Helper(); s.signalLogWriter(tb, syscall.SIGSTOP) }

// LoseLog crashes a server after HoldLog, and waits until it answers again.
func (s *Server) LoseLog(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		tb.Fatal(err)
	}
	s.signalLogWriter(tb, syscall.SIGKILL)
	for err == nil { // until the crash has reached this connection
		_, err = conn.Exec(ctx, "SELECT pg_sleep(0.01)")
	}
	_ = conn.Close(ctx)
	if err := s.ready(); err != nil {
		tb.Fatal(err)
	}
}

func (s *Server) signalLogWriter(tb testing.TB, signal syscall.Signal) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var id int
	for id == 0 && err == nil { // it starts after the server answers
		err = conn.QueryRow(ctx, "SELECT coalesce(max(pid), 0) FROM pg_stat_activity, pg_sleep(0.01) WHERE backend_type = 'walwriter'").Scan(&id)
	}
	if err == nil {
		err = syscall.Kill(id, signal)
	}
	if err != nil {
		tb.Fatalf("the server's log writer: %v", err)
	}
}

func (s *Server) end(tb testing.TB, signal syscall.Signal) {
	tb.Helper()
	if err := s.guarded.end(s.postmaster, signal); err != nil {
		tb.Fatal(err)
	}
}

// newServer makes an empty database cluster.
func newServer(options ...string) (*Server, error) {
	bin, err := findPrograms()
	if err != nil {
		return nil, err
	}
	g, err := newGuarded("PostgreSQL", "QUIT", "postgres")
	if err != nil {
		return nil, err
	}
	s := &Server{guarded: g, bin: bin, options: options}
	if err := s.initialise(); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

func (s *Server) initialise() error {
	initdb := s.command(filepath.Join(s.bin, "initdb"),
		"-D", s.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("test PostgreSQL: initdb: %w\n%s", err, out)
	}
	hba := "host all " + PasswordRole + " 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\nlocal all all trust\n"
	if err := os.WriteFile(filepath.Join(s.data(), "pg_hba.conf"), []byte(hba), 0o600); err != nil {
		return fmt.Errorf("test PostgreSQL: %w", err)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) start() error {
	args := append([]string{
		"-D", s.data(), "-k", s.dir, "-p", strconv.Itoa(s.port.Number),
		"-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=200",
	}, s.options...)
	return s.guarded.start(s.ready, filepath.Join(s.bin, "postgres"), args...)
}

// ready waits until the server answers.
func (s *Server) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
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

// postmaster returns the server's process ID.
func (s *Server) postmaster() (int, error) {
	text, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strconv.Atoi(first)
}

// findPrograms returns the directory of initdb and postgres: on PATH, where
// pg_config says, or where Debian puts them.
func findPrograms() (string, error) {
	var dirs []string
	if initdb, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(initdb))
	}
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	debian, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	for i := len(debian) - 1; i >= 0; i-- {
		dirs = append(dirs, debian[i])
	}
	for _, dir := range dirs {
		_, err1 := os.Stat(filepath.Join(dir, "initdb"))
		_, err2 := os.Stat(filepath.Join(dir, "postgres"))
		if err1 == nil && err2 == nil {
			return dir, nil
		}
	}
	return "", errors.New("these tests need PostgreSQL's programs initdb and postgres: apt-get install postgresql, or set " + ServerVariable + " to a superuser's URL")
}
