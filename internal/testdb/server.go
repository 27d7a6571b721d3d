package testdb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// PasswordRole is the one role that the servers ask for a password; tests that
// need it create it. Everybody else is trusted.
const PasswordRole = "needs_password"

// Server is a PostgreSQL server of one test.
type Server struct {
	bin   string // directory of the programs
	dir   string // holds data, socket and log
	port  int
	owner *syscall.Credential // who runs the server, if not this process's user

	guard *exec.Cmd // the shell that runs the server; nil while it is stopped
	life  *os.File  // the pipe to it: when this end closes, the server ends
}

// StartPostgres starts a server that lasts until the test ends.
func StartPostgres(tb testing.TB) *Server {
	tb.Helper()
	s, err := newServer()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.remove)
	s.Start(tb)
	return s
}

// URL returns the superuser's URL of a database on the server.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s", s.port, database)
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

func (s *Server) end(tb testing.TB, signal syscall.Signal) {
	tb.Helper()
	if s.guard == nil {
		return
	}
	pid, err := s.postmaster()
	if err == nil {
		err = syscall.Kill(pid, signal)
	}
	if err != nil {
		tb.Fatalf("test PostgreSQL: cannot end it: %v", err)
	}
	_ = s.guard.Wait() // it was killed
	s.letGo()
}

// letGo closes this end of the pipe, which ends the server if it still runs.
func (s *Server) letGo() {
	_ = s.life.Close()
	_ = s.guard.Wait()
	s.guard, s.life = nil, nil
}

// remove ends the server and deletes its files.
func (s *Server) remove() {
	if s.guard != nil {
		s.letGo()
	}
	_ = os.RemoveAll(s.dir) // the guard has done so, unless it could not
}

// newServer makes an empty database cluster.
func newServer() (*Server, error) {
	bin, err := findPrograms()
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, fmt.Errorf("test PostgreSQL: %w", err)
	}
	dir, err := os.MkdirTemp("", "claimcheck-postgres-")
	if err != nil {
		return nil, fmt.Errorf("test PostgreSQL: %w", err)
	}
	s := &Server{bin: bin, dir: dir, port: port}
	if err := s.initialise(); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

func (s *Server) initialise() error {
	// PostgreSQL refuses to run as root.
	if os.Getuid() == 0 {
		if err := s.dropPrivileges(); err != nil {
			return err
		}
	}
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

// dropPrivileges picks an ordinary user and gives the directory to them.
func (s *Server) dropPrivileges() error {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2, os.Chown(s.dir, int(uid), int(gid))); err != nil {
			return fmt.Errorf("test PostgreSQL: run as %s: %w", name, err)
		}
		s.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return nil
	}
	return errors.New("test PostgreSQL: it cannot run as root, and there is no user postgres or nobody to run it as")
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// command is a program that runs as the server's user, in a process group of
// its own so that Ctrl-C in a terminal does not reach it first.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: s.owner}
	return cmd
}

// guardScript runs the server ("$@") until it ends by itself or standard input
// does, which is when the test process has let go of it or died. In the latter
// case nobody else is left to remove its directory ($0).
const guardScript = `
exec 3<&0
"$@" 3<&- & server=$!
{ read -r _ <&3; kill -QUIT "$server"; } 2>/dev/null & watch=$!
exec 3<&-
wait "$server"
kill "$watch" 2>/dev/null || rm -rf "$0"
`

func (s *Server) start() error {
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return fmt.Errorf("test PostgreSQL: %w", err)
	}
	defer func() { _ = log.Close() }()
	stdin, life, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("test PostgreSQL: %w", err)
	}
	defer func() { _ = stdin.Close() }()
	cmd := s.command("/bin/sh", "-c", guardScript, s.dir,
		filepath.Join(s.bin, "postgres"), "-D", s.data(), "-k", s.dir, "-p", strconv.Itoa(s.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=200")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, log, log
	if err := cmd.Start(); err != nil {
		_ = life.Close()
		return fmt.Errorf("test PostgreSQL: %w", err)
	}
	s.guard, s.life = cmd, life
	if err := s.ready(); err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("test PostgreSQL does not answer: %w\n%s", err, text)
	}
	return nil
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

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
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
