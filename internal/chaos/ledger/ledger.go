// Package ledger is the database of the chaos run as a team would use it: the store of
// claimcheck's rows, and the business's own tables, which change in the same
// transactions.
package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // OpenDB's driver for PostgreSQL

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/mysqlstore"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// Conns is the number of connections of one process, for the store and the business
// together.
const Conns = 14

const (
	storeConns    = 10
	businessConns = Conns - storeConns
)

// Ledger is an open database.
type Ledger struct {
	Store queue.Store
	// OneWriter says that a transaction excludes all other writers, so that it must be
	// short.
	OneWriter bool

	begin func(context.Context) (*Tx, error)
	close []func()
}

// Tx is a transaction of the business. The code that begins it ends it.
type Tx struct {
	queue.Tx
	exec func(ctx context.Context, query string, args ...any) error
}

// Open opens the database that url names: postgres, mysql or sqlite. Its schema
// must be up to date.
func Open(ctx context.Context, databaseURL string) (*Ledger, error) {
	if strings.HasPrefix(databaseURL, "postgres:") {
		return openPostgres(ctx, databaseURL)
	}
	return openSQL(ctx, databaseURL)
}

// Close closes the connections.
func (l *Ledger) Close() {
	for _, end := range l.close {
		end()
	}
}

// Begin begins a transaction.
func (l *Ledger) Begin(ctx context.Context) (*Tx, error) { return l.begin(ctx) }

// Post writes the entry of a ledger task.
func (tx *Tx) Post(ctx context.Context, task uuid.UUID, attempt int, worker string) error {
	return tx.exec(ctx, `INSERT INTO chaos_ledger (task_id, attempt, worker) VALUES (?, ?, ?)`, task.String(), attempt, worker)
}

// Order writes the business row with which a task is enqueued.
func (tx *Tx) Order(ctx context.Context, task uuid.UUID) error {
	return tx.exec(ctx, `INSERT INTO chaos_orders (task_id) VALUES (?)`, task.String())
}

func openPostgres(ctx context.Context, databaseURL string) (*Ledger, error) {
	store, err := pgstore.Open(ctx, pgstore.Config{URL: databaseURL, MaxConns: storeConns, AcquireTimeout: 2 * time.Second})
	if err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	config.MaxConns = businessConns
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	begin := func(ctx context.Context) (*Tx, error) {
		tx, err := pool.Begin(ctx)
		if err != nil {
			return nil, err
		}
		return &Tx{pgstore.Tx(tx), func(ctx context.Context, query string, args ...any) error {
			_, err := tx.Exec(ctx, numbered(query), args...)
			return err
		}}, nil
	}
	return &Ledger{Store: store, begin: begin, close: []func(){pool.Close, func() { _ = store.Close() }}}, nil
}

// numbered replaces the placeholders for parameters by PostgreSQL's.
func numbered(query string) string {
	var b strings.Builder
	for n, part := range strings.Split(query, "?") {
		if n > 0 {
			b.WriteString("$" + strconv.Itoa(n))
		}
		b.WriteString(part)
	}
	return b.String()
}

func openSQL(ctx context.Context, databaseURL string) (*Ledger, error) {
	const timeout = 2 * time.Second
	var store interface {
		queue.Store
		Close() error
	}
	var err error
	oneWriter, makeTx := strings.HasPrefix(databaseURL, "sqlite:"), mysqlstore.Tx
	if oneWriter {
		makeTx = sqlitestore.Tx
		store, err = sqlitestore.Open(ctx, sqlitestore.Config{URL: databaseURL, AcquireTimeout: timeout})
	} else {
		store, err = mysqlstore.Open(ctx, mysqlstore.Config{URL: databaseURL, MaxConns: storeConns, AcquireTimeout: timeout})
	}
	if err != nil {
		return nil, err
	}
	db, err := OpenDB(databaseURL)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(businessConns)
	db.SetMaxIdleConns(businessConns)
	begin := func(ctx context.Context) (*Tx, error) {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return nil, err
		}
		return &Tx{makeTx(tx), func(ctx context.Context, query string, args ...any) error {
			_, err := tx.ExecContext(ctx, query, args...)
			return err
		}}, nil
	}
	return &Ledger{
		Store: store, OneWriter: oneWriter, begin: begin,
		close: []func(){func() { _ = db.Close() }, func() { _ = store.Close() }},
	}, nil
}

// OpenDB opens a database with database/sql, without a store.
func OpenDB(databaseURL string) (*sql.DB, error) {
	switch scheme, path, _ := strings.Cut(databaseURL, ":"); scheme {
	case "postgres":
		return sql.Open("pgx", databaseURL)
	case "sqlite":
		return sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=synchronous(full)")
	}
	u, err := url.Parse(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	config := mysql.NewConfig()
	config.Net, config.Addr, config.User, config.DBName = "tcp", u.Host, u.User.Username(), strings.TrimPrefix(u.Path, "/")
	config.InterpolateParams, config.MultiStatements, config.Logger = true, true, &mysql.NopLogger{}
	config.Timeout, config.Params = 2*time.Second, make(map[string]string)
	for name, values := range u.Query() {
		config.Params[name] = values[0]
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	return sql.OpenDB(connector), nil
}
