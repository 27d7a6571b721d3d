// Package mysqlstore keeps the rows of package queue in MySQL 8.0, MariaDB 10.6, or
// later versions of either.
//
//	store, err := mysqlstore.Open(ctx, mysqlstore.Config{URL: "mysql://user:password@host/name", Migrate: true})
//
// Rows are locked one by one, so that any number of processes share the tables. A
// new row and a finish take one statement each, everything else a transaction.
package mysqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/sqlstore"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// Store is a [queue.Store], a [queue.Operator] and [queue.Pooled] on MySQL or
// MariaDB. It is safe for concurrent use.
type Store struct {
	*base
	pool *sql.DB
}

type base = sqlstore.Store

// Open opens a database. Unless config.Migrate is set, call [Store.Migrate] before
// the first use.
//
// The error of a server that is down, or does not admit the user, is one line that
// says what to check, and is queue.ErrUnavailable. No error contains the password.
func Open(ctx context.Context, config Config) (*Store, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	s, err := config.connect()
	if err != nil || config.Unchecked {
		return s, err
	}
	if err := s.checkVersion(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	if !config.Migrate {
		return s, nil
	}
	if _, err := s.Migrate(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// New returns a Store on a pool of the caller's, which [Store.Close] closes. The
// pool must be of the driver that this package imports, github.com/go-sql-driver/mysql,
// with parseTime=true and a time zone of UTC:
//
//	db, err := sql.Open("mysql", "user:password@tcp(host)/name?parseTime=true&clientFoundRows=true&interpolateParams=true")
//
// Its connections keep their session's settings; each transaction of the store names
// its isolation level, READ COMMITTED, which costs a round trip that the
// connections of [Open] do not need, and Open's connections also cancel on the server what its
// caller has abandoned. New panics if pool is nil, or of another driver; Open with
// Config.Pool returns that as an error, and takes further settings.
func New(pool *sql.DB) *Store {
	if pool == nil {
		panic("mysqlstore: New: the pool is nil: check the error of sql.Open")
	}
	config := Config{Pool: pool}
	if err := config.Validate(); err != nil {
		panic("mysqlstore: New: " + err.Error())
	}
	return config.onPool()
}

func checkPool(c Config) error {
	if c.URL != "" {
		return &queue.ConfigError{Field: "Pool", Text: "Config.URL is set too: leave one of them empty"}
	}
	if _, ok := c.Pool.Driver().(*mysql.MySQLDriver); !ok {
		return &queue.ConfigError{Field: "Pool", Text: fmt.Sprintf("its driver is %T: open it with the driver name \"mysql\" of github.com/go-sql-driver/mysql, which this package imports", c.Pool.Driver())}
	}
	if n := c.Pool.Stats().MaxOpenConnections; n > 0 && n < storekit.MinConns {
		return &queue.ConfigError{Field: "Pool", Text: fmt.Sprintf("it must have at least %d connections, not %d: one connection is kept for heartbeats and for storing results", storekit.MinConns, n)}
	}
	return nil
}

// onPool is a Store on Config.Pool. Its connections have the isolation level of
// their server or of their DSN.
func (c Config) onPool() *Store {
	c = c.withDefaults()
	kept := &storekit.Reserve{}
	if n := c.Pool.Stats().MaxOpenConnections; n > 0 {
		kept = storekit.NewReserve(n)
	}
	b := &server{config: mysql.NewConfig(), where: "the pool's server", setting: c.setting, pool: c.Pool}
	return c.store(b, c.Pool, kept, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
}

// connect contacts nothing yet.
func (c Config) connect() (*Store, error) {
	if c.Pool != nil {
		return c.onPool(), nil
	}
	c = c.withDefaults()
	parsed, err := parseURL(c.URL, c.DialFunc != nil)
	if err != nil {
		return nil, err
	}
	b := &server{config: parsed, where: parsed.Addr, setting: c.setting}
	if c.DialFunc != nil {
		parsed.DialFunc, b.dialed = c.DialFunc, true
	}
	if c.Name != "" {
		b.where = c.Name
	}
	if parsed.Timeout == 0 {
		parsed.Timeout = c.AcquireTimeout
	}
	session(parsed)
	made, err := mysql.NewConnector(parsed)
	if err != nil {
		return nil, &queue.ConfigError{Field: "URL", Text: err.Error(), Err: err}
	}
	b.connector = &connector{Connector: made, slots: make(chan struct{}, mostKills)}
	db := sql.OpenDB(b.connector)
	db.SetMaxOpenConns(c.MaxConns)
	db.SetMaxIdleConns(c.MaxConns)
	return c.store(b, db, storekit.NewReserve(c.MaxConns), ""), nil
}

func (c Config) store(b *server, db *sql.DB, kept *storekit.Reserve, isolate string) *Store {
	return &Store{sqlstore.New(sqlstore.Options{
		Dialect: sqlstore.MySQL, Backend: b, Writer: db, Reader: db, Reserve: kept, Isolate: isolate,
		AcquireTimeout: c.AcquireTimeout, Observe: c.Observe, PoolSetting: c.setting("MaxConns"),
	}), db}
}

// checkVersion makes the first connection, and refuses a server that does not
// know SKIP LOCKED.
func (s *Store) checkVersion(ctx context.Context) error {
	var version string
	err := sqlstore.FirstAnswer(ctx, s.base, func(ctx context.Context, conn sqlstore.Conn) error {
		return conn.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version)
	})
	if err != nil {
		return err
	}
	if tooOld(version) {
		return fmt.Errorf("open MySQL: the server is version %s; MySQL 8.0 or MariaDB 10.6 is the oldest that works", version)
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

// DB returns the store's pool, on which the caller may begin transactions for [Tx].
func (s *Store) DB() *sql.DB { return s.pool }

// Close closes the pool. Calls in progress finish; later ones return
// queue.ErrClosed.
func (s *Store) Close() error { return s.base.Close() }

// Tx makes a transaction of database/sql what queue.Client.InTx, EnqueueTx and
// queue.CompleteTx take. It must be in the database of the Client's Store; it may
// be of another pool. Tx of a nil tx is nil, which the calls refuse.
func Tx(tx *sql.Tx) queue.Tx { return sqlstore.MySQL.Tx(tx) }
