package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Settings are what the server is given beyond PostgreSQL's defaults, which
// include fsync and synchronous_commit. They are the same for every system. The
// log is long enough for no measurement to meet a checkpoint that another caused.
var Settings = []string{
	"fsync=on", "synchronous_commit=on", "full_page_writes=on",
	"shared_buffers=1GB", "max_wal_size=8GB", "checkpoint_timeout=30min", "max_connections=200",
	"listen_addresses=127.0.0.1",
}

// Postgres is a private PostgreSQL server.
type Postgres struct {
	*Guarded
}

// StartPostgres makes an empty cluster below parent and starts a server on it.
func StartPostgres(ctx context.Context, parent string) (*Postgres, error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	g, err := newGuarded(parent, "postgres")
	if err != nil {
		return nil, err
	}
	p := &Postgres{g}
	if err := p.run(ctx, bin); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

func (p *Postgres) run(ctx context.Context, bin string) error {
	initdb := p.command(filepath.Join(bin, "initdb"),
		"-D", p.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	args := []string{"-D", p.data(), "-k", p.Dir, "-p", strconv.Itoa(p.port.Number)}
	for _, setting := range Settings {
		args = append(args, "-c", setting)
	}
	if err := p.start(filepath.Join(bin, "postgres"), args...); err != nil {
		return err
	}
	if err := p.await(ctx); err != nil {
		return p.failed("PostgreSQL", err)
	}
	return nil
}

func (p *Postgres) data() string { return filepath.Join(p.Dir, "data") }

// URL is the superuser's URL of a database.
func (p *Postgres) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s", p.port.Number, database)
}

// await returns when the server answers.
func (p *Postgres) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, p.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// PID is the server's first process, the parent of all others.
func (p *Postgres) PID() (int, error) {
	text, err := os.ReadFile(filepath.Join(p.data(), "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strconv.Atoi(first)
}

// Exec runs SQL statements, each in a transaction of its own.
func (p *Postgres) Exec(ctx context.Context, database string, statements ...string) error {
	conn, err := pgx.Connect(ctx, p.URL(database))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// Version is what the server says of itself.
func (p *Postgres) Version(ctx context.Context) (version string, err error) {
	conn, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, "SHOW server_version").Scan(&version)
	return version, err
}

// postgresPrograms returns the directory of initdb and postgres: on PATH, where
// pg_config says, or where Debian puts them.
func postgresPrograms() (string, error) {
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
	return "", errors.New("there is no initdb and postgres")
}
