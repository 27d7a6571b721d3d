package server

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// MariaDBSettings are what the server is given beyond MariaDB's defaults. As on
// PostgreSQL a commit is on the disk before it is answered.
var MariaDBSettings = []string{
	"innodb-flush-log-at-trx-commit=1", "innodb-buffer-pool-size=1G", "innodb-log-file-size=512M", "max-connections=200",
}

// MariaDB is a private MariaDB server.
type MariaDB struct {
	*Guarded
}

// mariadbPrograms are the server and what makes its data directory.
func mariadbPrograms() (server, install string, err error) {
	find := func(names ...string) (string, error) {
		for _, name := range names {
			for _, path := range []string{name, "/usr/sbin/" + name} { // Debian keeps servers out of the PATH of ordinary users
				if found, err := exec.LookPath(path); err == nil {
					return found, nil
				}
			}
		}
		return "", fmt.Errorf("there is no %s", names[0])
	}
	if server, err = find("mariadbd", "mysqld"); err != nil {
		return "", "", err
	}
	install, err = find("mariadb-install-db", "mysql_install_db")
	return server, install, err
}

// StartMariaDB makes an empty data directory below parent and starts a server
// on it.
func StartMariaDB(ctx context.Context, parent string) (*MariaDB, error) {
	program, install, err := mariadbPrograms()
	if err != nil {
		return nil, err
	}
	g, err := newGuarded(parent, "mysql")
	if err != nil {
		return nil, err
	}
	m := &MariaDB{g}
	if err := m.run(ctx, program, install); err != nil {
		m.Stop()
		return nil, err
	}
	return m, nil
}

func (m *MariaDB) run(ctx context.Context, program, install string) error {
	data := filepath.Join(m.Dir, "data")
	installer := m.command(install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
	if out, err := installer.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", install, err, out)
	}
	args := []string{
		"--no-defaults", "--datadir=" + data, "--socket=" + filepath.Join(m.Dir, "socket"), "--pid-file=" + filepath.Join(m.Dir, "pid"),
		"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(m.port.Number), "--skip-name-resolve",
	}
	for _, setting := range MariaDBSettings {
		args = append(args, "--"+setting)
	}
	err := m.start(program, args...)
	if err == nil {
		err = m.await(ctx)
	}
	if err != nil {
		return m.failed("MariaDB", err)
	}
	return nil
}

// URL is root's URL of a database.
func (m *MariaDB) URL(database string) string {
	return fmt.Sprintf("mysql://root@127.0.0.1:%d/%s", m.port.Number, database)
}

func (m *MariaDB) open() (*sql.DB, error) {
	config := mysql.NewConfig()
	config.Net, config.Addr, config.User = "tcp", fmt.Sprintf("127.0.0.1:%d", m.port.Number), "root"
	config.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// await returns when the server answers.
func (m *MariaDB) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	db, err := m.open()
	if err != nil {
		return err
	}
	defer db.Close()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Exec runs SQL statements.
func (m *MariaDB) Exec(ctx context.Context, statements ...string) error {
	db, err := m.open()
	if err != nil {
		return err
	}
	defer db.Close()
	for _, text := range statements {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return nil
}

// Version is what the server says of itself.
func (m *MariaDB) Version(ctx context.Context) (version string, err error) {
	db, err := m.open()
	if err != nil {
		return "", err
	}
	defer db.Close()
	err = db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version)
	return version, err
}

// PID is the server's process.
func (m *MariaDB) PID() (int, error) {
	text, err := os.ReadFile(filepath.Join(m.Dir, "pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}
