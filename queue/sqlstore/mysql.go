package sqlstore

import (
	"context"
	"crypto/md5" //nolint:gosec // shortens a name
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"

	"github.com/claimcheck-go/claimcheck/internal/migrate"
	"github.com/claimcheck-go/claimcheck/internal/reserve"
)

// mysqlDialect is that of MySQL and MariaDB: rows are locked one by one, and
// instead of partial indexes there are columns that are NULL for the rows that
// an index is not about.
var mysqlDialect = dialect{
	begin:       "START TRANSACTION",
	lockRow:     " FOR UPDATE",
	lockRows:    " FOR UPDATE SKIP LOCKED",
	clock:       mysqlClock,
	stamp:       "LAST_INSERT_ID(" + mysqlClock + ")",
	mark:        "INSERT INTO claimcheck_marks (name, at) VALUES (?, " + mysqlClock + ") ON DUPLICATE KEY UPDATE at = VALUES(at)",
	batch:       100,
	free:        "claim_order IS NOT NULL",
	freeOrder:   "claim_order, enqueued_at, id",
	freeReverse: "claim_order DESC, enqueued_at DESC, id DESC",
	freeAfter:   "claim_order >= - :priority AND (claim_order > - :priority OR enqueued_at >= :at AND (enqueued_at > :at OR id > :id))",
	freeBefore:  "claim_order <= - :priority AND (claim_order < - :priority OR enqueued_at <= :at AND (enqueued_at < :at OR id < :id))",
	keyColumns:  ", claim_order, held_until",
	held:        "held_until IS NOT NULL",
	heldUntil:   "held_until",
	readyOf:     "dispatch_backend = ?", dispatchDue: "dispatch_until",
	byID:     " FORCE INDEX (PRIMARY)",
	useIndex: func(name string) string { return " FORCE INDEX (" + name + ")" },
}

const mysqlClock = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"

// mysqlServer is the backend.
type mysqlServer struct {
	config    *mysql.Config
	connector *connector
	where     string // host and port, socket, or Config.Name
	dialed    bool   // by Config.DialFunc
}

func openMySQL(ctx context.Context, rawURL string, config Config) (*Store, error) {
	s, err := connectMySQL(rawURL, config)
	if err != nil {
		return nil, err
	}
	if err := s.checkVersion(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// connectMySQL contacts nothing yet.
func connectMySQL(rawURL string, config Config) (*Store, error) {
	parsed, err := parseMySQL(rawURL, config.DialFunc != nil)
	if err != nil {
		return nil, err
	}
	if err := config.checkConns(); err != nil {
		return nil, err
	}
	server := &mysqlServer{config: parsed, where: parsed.Addr}
	if config.DialFunc != nil {
		parsed.DialFunc, server.dialed = config.DialFunc, true
	}
	if config.Name != "" {
		server.where = config.Name
	}
	if parsed.Timeout == 0 {
		parsed.Timeout = config.AcquireTimeout
	}
	session(parsed)
	base, err := mysql.NewConnector(parsed)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	server.connector = &connector{Connector: base, slots: make(chan struct{}, mostKills)}
	db := sql.OpenDB(server.connector)
	db.SetMaxOpenConns(config.MaxConns)
	db.SetMaxIdleConns(config.MaxConns)
	return &Store{config: config, dialect: &mysqlDialect, backend: server, writer: db, reader: db, reserve: reserve.Of(config.MaxConns)}, nil
}

// tableLockWait is how many seconds a statement waits for a table; the server's
// own limit is a day or more.
const tableLockWait = 8

// session sets what every connection works under.
func session(c *mysql.Config) {
	c.ClientFoundRows = true   // an UPDATE that changes nothing has found its row all the same
	c.InterpolateParams = true // one round trip for a statement, not two
	c.ParseTime = true         // goose's times
	c.MaxAllowedPacket = 0     // ask the server, so that a task that is too large is told so
	c.RejectReadOnly = false   // broken sees to it, and keeps the reason
	c.Logger = &mysql.NopLogger{}
	_ = c.Apply(mysql.Charset("utf8mb4", "utf8mb4_bin")) // it cannot fail
	c.Params = map[string]string{
		// Strict: a value that does not fit is an error, and not cut off.
		"sql_mode":  "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
		"time_zone": "'+00:00'",
		// A statement outside a transaction is one of its own, whatever the
		// server's default is.
		"autocommit": "1",
		// Rows are locked for milliseconds. Only a finish, and an insert under an
		// ID that another transaction is inserting, wait for one that stays locked,
		// and hold a connection meanwhile: as briefly as MySQL can.
		"innodb_lock_wait_timeout": "1",
		// A table that another transaction or LOCK TABLES holds.
		"lock_wait_timeout": strconv.Itoa(tableLockWait),
	}
}

// checkVersion makes the first connection, and refuses a server that does not
// know SKIP LOCKED.
func (s *Store) checkVersion(ctx context.Context) error {
	var version string
	err := s.firstAnswer(ctx, "open", func(ctx context.Context) error {
		return s.read(ctx, "open", func(conn querier) error {
			return conn.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version)
		})
	})
	if err != nil {
		return err
	}
	if tooOld(version) {
		return fmt.Errorf("open %s: it is version %s; MySQL 8.0 or MariaDB 10.6 is the oldest that works", s.backend.name(), version)
	}
	return nil
}

// tooOld reads versions such as 8.0.36 and 10.11.19-MariaDB, or
// 5.5.5-10.11.19-MariaDB behind some proxies.
func tooOld(version string) bool {
	oldest := [2]int{8, 0}
	if strings.Contains(strings.ToLower(version), "mariadb") {
		oldest = [2]int{10, 6}
		version = strings.TrimPrefix(version, "5.5.5-")
	}
	var major, minor int
	if n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor); n != 2 {
		return false // a fork that counts in its own way
	}
	return major < oldest[0] || major == oldest[0] && minor < oldest[1]
}

func (m *mysqlServer) name() string {
	return fmt.Sprintf("MySQL at %s/%s as user %s", m.where, m.config.DBName, m.config.User)
}

func (*mysqlServer) migrations() migrate.Set {
	return migrate.Set{Files: migrationFiles("migrations/mysql"), Dialect: goose.DialectMySQL}
}

// lockMigrations takes a lock of the server, on a connection of its own so that
// a pool of one is enough. Locks are the whole server's: the name contains that
// of the database.
func (m *mysqlServer) lockMigrations(ctx context.Context) (unlock func(), err error) {
	db := sql.OpenDB(m.connector)
	db.SetMaxOpenConns(1)
	name := fmt.Sprintf("claimcheck.%x", md5.Sum([]byte(m.config.DBName))) //nolint:gosec // names are at most 64 bytes long
	for {
		var got sql.NullInt64
		if err := db.QueryRowContext(ctx, "SELECT GET_LOCK(?, 0)", name).Scan(&got); err != nil {
			db.Close()
			return nil, err
		}
		if got.Int64 == 1 {
			return func() { db.Close() }, nil // the lock ends with its connection
		}
		select {
		case <-ctx.Done():
			db.Close()
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
