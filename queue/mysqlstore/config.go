package mysqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"net"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/sqlstore"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// Config says which database to open, and how. Only URL is required.
type Config struct {
	// URL is mysql://user:password@host:3306/name ("mariadb://" means the same),
	// with special characters in the password percent-encoded. Its parameters are:
	//
	//	socket        path of a Unix socket, in place of host and port; also
	//	              unix_socket, or //path/name or unix(path)/name after the @
	//	tls           true, false, skip-verify, or preferred
	//	timeout       for making a connection, such as 5s
	//	readTimeout   for an answer of the server, for one network read
	//	writeTimeout  for one network write
	URL string
	// Pool is used in place of URL: see [New].
	Pool *sql.DB

	// MaxConns is the size of the pool; 10 by default, and at least 2: one
	// connection is kept for heartbeats and for storing results. With Pool, its
	// own limit counts.
	MaxConns int
	// DialFunc makes the connections in place of plain TCP, and encrypts them
	// itself: the Cloud SQL connector's. The URL then gives only user, password
	// and database.
	DialFunc func(ctx context.Context, network, address string) (net.Conn, error)
	// Name says in messages what DialFunc connects to; by default that is host
	// and port.
	Name string

	// Migrate makes Open bring the tables up to date.
	Migrate bool
	// Unchecked makes Open contact nothing yet, and accept a server that is too
	// old: for programs that say what is wrong with a database.
	Unchecked bool
	// AcquireTimeout is how long a call waits for a free connection, and how long
	// making one may take, before it fails with queue.ErrUnavailable; 5 s by
	// default.
	AcquireTimeout time.Duration
	// Observe is called when the store begins a call, with what that is, and the
	// function that it returns when the call has ended: for spans.
	Observe func(ctx context.Context, op string) (ended func(error))
	// SettingName says how messages name a field of Config, given "URL" or
	// "MaxConns", in a program whose users set it by another name; nil means
	// Config.URL and Config.MaxConns.
	SettingName func(field string) string
}

// Validate returns what is wrong with the configuration, a *queue.ConfigError. It
// contacts nothing.
func (c Config) Validate() error {
	if c.Pool != nil {
		return checkPool(c)
	}
	if _, err := parseURL(c.URL, c.DialFunc != nil); err != nil {
		return err
	}
	if c.MaxConns != 0 && c.MaxConns < storekit.MinConns {
		return &queue.ConfigError{Field: "MaxConns", Text: fmt.Sprintf("it must be at least %d, not %d: one connection is kept for heartbeats and for storing results", storekit.MinConns, c.MaxConns)}
	}
	return nil
}

// setting names a field in messages.
func (c Config) setting(field string) string {
	if c.SettingName == nil {
		return "Config." + field
	}
	return c.SettingName(field)
}

func (c Config) withDefaults() Config {
	c.AcquireTimeout = cmp.Or(c.AcquireTimeout, sqlstore.DefaultAcquireTimeout)
	c.MaxConns = cmp.Or(c.MaxConns, 10)
	return c
}
