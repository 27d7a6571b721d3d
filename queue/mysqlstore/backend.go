package mysqlstore

import (
	"database/sql"
	"fmt"

	"github.com/go-sql-driver/mysql"
)

// server is the [sqlstore.Backend].
type server struct {
	config    *mysql.Config
	connector *connector // nil for a pool of the caller's
	pool      *sql.DB    // the caller's, or nil
	where     string     // host and port, socket, or Config.Name
	dialed    bool       // by Config.DialFunc
	setting   func(field string) string
}

// Name names the database in messages.
func (m *server) Name() string {
	if m.pool != nil {
		return "MySQL"
	}
	return fmt.Sprintf("MySQL at %s/%s as user %s", m.where, m.config.DBName, m.config.User)
}

// Accepted reports whether a connection was made once.
func (m *server) Accepted() bool { return m.connector != nil && m.connector.accepted.Load() }

// Wait waits for statements that are being cancelled on the server.
func (m *server) Wait() {
	if m.connector != nil {
		m.connector.kills.Wait()
	}
}
