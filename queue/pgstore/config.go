package pgstore

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claimcheck-go/claimcheck/internal/dburl"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// DefaultAcquireTimeout is how long a call waits for a free connection.
const DefaultAcquireTimeout = 5 * time.Second

const defaultMaxConns = 10

// Config says which database to open, and how. Only URL, or Pool in its place, is
// required.
type Config struct {
	// URL is postgres://user:password@host:port/database, with the parameters of
	// libpq and special characters in the password percent-encoded; for a Unix
	// socket, postgres://user:password@/database?host=/directory, or
	// postgres://user:password@//directory/database.
	URL string
	// Pool is used in place of URL: see [New].
	Pool *pgxpool.Pool

	// MaxConns is the size of the pool; 10 by default, and at least 2: one
	// connection is kept for heartbeats and for storing results. [Store.Listen]
	// uses one beside the pool. With Pool, its own MaxConns counts.
	MaxConns int
	// Pooler says that a transaction pooler such as PgBouncer is in between:
	// statements are not prepared, which costs about twice the CPU. With Pool, its
	// own DefaultQueryExecMode counts.
	Pooler bool
	// DialFunc makes the connections in place of plain TCP, and encrypts them
	// itself: the Cloud SQL connector's. The URL then gives only user, password
	// and database.
	DialFunc pgconn.DialFunc
	// Name says in messages what DialFunc connects to; by default that is host
	// and port.
	Name string

	// Migrate makes Open bring the tables up to date.
	Migrate bool
	// Unchecked makes Open contact nothing yet, and accept a database that it would
	// refuse: for programs that say what is wrong with a database.
	Unchecked bool
	// AcquireTimeout is how long a call waits for a free connection, and how long
	// making one may take, before it fails with [queue.ErrUnavailable];
	// [DefaultAcquireTimeout] by default.
	AcquireTimeout time.Duration
	// Observe is called when the store begins a call, with the name of the
	// operation, and the function that it returns when the call has ended: for
	// spans. A batch of concurrent calls is observed once, without the context of
	// any of them.
	Observe func(ctx context.Context, op string) (ended func(error))
	// SettingName says how messages name a field of Config, given "URL", "MaxConns"
	// or "Pooler", in a program whose users set it by another name; nil means
	// Config.URL, Config.MaxConns and Config.Pooler.
	SettingName func(field string) string
}

// Validate returns what is wrong with the configuration, a *[queue.ConfigError]. It
// contacts nothing.
func (c Config) Validate() error {
	if c.Pool == nil {
		_, err := c.poolConfig()
		return err
	}
	if c.URL != "" {
		return &queue.ConfigError{Field: "Pool", Text: "Config.URL is set too: leave one of them empty"}
	}
	return nil
}

// setting names a field in messages.
func (c Config) setting(field string) string {
	switch {
	case c.SettingName != nil:
		return c.SettingName(field)
	case c.Pool == nil:
		return "Config." + field
	case field == "URL":
		return "the pool's connection string"
	case field == "MaxConns":
		return "the pool's MaxConns"
	}
	return "the pool's DefaultQueryExecMode"
}

// poolConfig is the configuration of a pool of the store's own.
func (c Config) poolConfig() (*pgxpool.Config, error) {
	config, err := c.parseURL()
	if err != nil {
		return nil, err
	}
	if c.MaxConns != 0 && c.MaxConns < storekit.MinConns {
		return nil, &queue.ConfigError{Field: "MaxConns", Text: fmt.Sprintf("it must be at least %d, not %d: one connection is kept for heartbeats and for storing results", storekit.MinConns, c.MaxConns)}
	}
	config.MaxConns = int32(cmp.Or(c.MaxConns, defaultMaxConns)) //nolint:gosec // no pool has two billion
	config.ShouldPing = shouldPing
	conn := config.ConnConfig
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = cmp.Or(c.AcquireTimeout, DefaultAcquireTimeout)
	}
	if c.Pooler {
		conn.DefaultQueryExecMode = pgx.QueryExecModeExec
	} else {
		config.AfterConnect = session
	}
	if c.DialFunc != nil {
		conn.DialFunc = c.DialFunc
		conn.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
		conn.TLSConfig, conn.Fallbacks = nil, nil
	}
	return config, nil
}

const urlForms = "postgres://user:password@host:5432/database, or postgres://user:password@/database?host=/directory for a socket" //nolint:gosec // a form, not a password

// parseURL returns errors without the password.
func (c Config) parseURL() (*pgxpool.Config, error) {
	refused := func(format string, args ...any) error {
		return &queue.ConfigError{Field: "URL", Text: fmt.Sprintf(format, args...)}
	}
	if c.URL == "" {
		return nil, refused("it is required: " + urlForms)
	}
	rawURL, err := dburl.Canonical(c.URL)
	if err != nil {
		return nil, &queue.ConfigError{Field: "URL", Text: err.Error(), Err: err}
	}
	switch scheme := dburl.Scheme(rawURL); scheme {
	case "mysql", "sqlite": // Canonical has made mysql of mariadb
		return nil, refused("package pgstore is for PostgreSQL: open a %s: URL with package %sstore", scheme, scheme)
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "postgres" || dburl.Misread(rawURL) {
		// What url.Parse says may quote the password.
		return nil, refused("it is not a PostgreSQL URL: it must look like " + urlForms + ", with special characters in the password percent-encoded (@ as %%40, / as %%2F, ? as %%3F, # as %%23)")
	}
	config, err := pgxpool.ParseConfig(rawURL)
	if err != nil {
		// It reads: cannot parse `URL`: reason.
		reason := err.Error()[strings.LastIndex(err.Error(), "`")+1:]
		if password, _ := u.User.Password(); password != "" {
			reason = strings.ReplaceAll(reason, password, "xxxxx")
		}
		return nil, refused("it is not a PostgreSQL URL%s", reason)
	}
	return config, nil
}

// session sets what the statements rely on. plan_cache_mode: the plans of prepared
// statements do not depend on the parameters, but the server would still plan those
// with arrays for each execution, which costs more than to run them. The default
// isolation level may be another one for this role or database.
//
// The enable_ settings: every statement has an index, and the planner does not choose it
// on a table without statistics, which a new one is until its first ANALYZE. There a
// claim would read and sort the whole backlog, and plans that were made while the table
// was empty would read all of it for each claim, heartbeat and finish. Statements without
// another way still read the table, at a cost that would start the compiler (jit). The
// figures of many rows would be counted by several processes of the server, which gains
// little where each is an index scan, and takes its cores from the tasks.
func session(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SET plan_cache_mode = force_generic_plan; SET default_transaction_isolation = 'read committed';
		SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; SET max_parallel_workers_per_gather = 0`)
	return err
}
