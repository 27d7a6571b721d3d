// Package stores is the one table of the databases that the server knows: which
// store a URL means, how it is opened, and what the server asks of a store beyond
// queue.Store. A further database is a further entry of the table.
package stores

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/claimcheck-go/claimcheck/internal/dburl"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/mysqlstore"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// Settings say which database to open, and how.
type Settings struct {
	URL      string // in its canonical form: [config.Config.DatabaseURL]
	MaxConns int
	Pooler   bool // PostgreSQL: a transaction pooler sits in between
	// DialFunc makes the connections in place of TCP; Name is what it connects to.
	DialFunc func(ctx context.Context, network, address string) (net.Conn, error)
	Name     string
	// Unchecked also opens a database that would be refused for its settings or its
	// version: doctor says so.
	Unchecked bool
	// Existing refuses a SQLite file that does not exist, instead of creating it.
	Existing bool
	// Observe is called when the store begins a call; it may be nil.
	Observe func(ctx context.Context, op string) (ended func(error))
}

// kind is one kind of database.
type kind struct {
	telemetry    string // the name of the system in OpenTelemetry's conventions
	embedded     bool   // part of this process
	validate     func(Settings) error
	open         func(context.Context, Settings) (Database, error)
	pool         func(context.Context, Settings) (Pool, error)
	migrationSQL func() string
}

// kinds by the scheme of a canonical URL.
var kinds = map[string]kind{
	"postgres": {
		telemetry: "postgresql",
		validate:  func(s Settings) error { return postgres(s).Validate() },
		open: func(ctx context.Context, s Settings) (Database, error) {
			return opened(pgstore.Open(ctx, postgres(s)))
		},
		pool: func(ctx context.Context, s Settings) (p Pool, err error) {
			p.Pgx, err = pgstore.NewPool(ctx, postgres(s))
			return p, err
		},
		migrationSQL: pgstore.MigrationSQL,
	},
	"mysql": {
		telemetry: "mysql",
		validate:  func(s Settings) error { return mysql(s).Validate() },
		open: func(ctx context.Context, s Settings) (Database, error) {
			return opened(mysqlstore.Open(ctx, mysql(s)))
		},
		pool: func(_ context.Context, s Settings) (p Pool, err error) {
			p.SQL, err = mysqlstore.NewPool(mysql(s))
			return p, err
		},
		migrationSQL: mysqlstore.MigrationSQL,
	},
	"sqlite": {
		telemetry: "sqlite",
		embedded:  true,
		validate:  validateSQLite,
		open: func(ctx context.Context, s Settings) (Database, error) {
			return opened(sqlitestore.Open(ctx, sqlite(s)))
		},
		pool: func(_ context.Context, s Settings) (p Pool, err error) {
			p.SQL, err = sqlitestore.NewPool(sqlite(s))
			return p, err
		},
		migrationSQL: sqlitestore.MigrationSQL,
	},
}

func postgres(s Settings) pgstore.Config {
	return pgstore.Config{
		URL: s.URL, MaxConns: s.MaxConns, Pooler: s.Pooler, DialFunc: s.DialFunc, Name: s.Name,
		Unchecked: s.Unchecked, Observe: s.Observe, SettingName: settingName,
	}
}

func mysql(s Settings) mysqlstore.Config {
	return mysqlstore.Config{
		URL: s.URL, MaxConns: s.MaxConns, DialFunc: s.DialFunc, Name: s.Name,
		Unchecked: s.Unchecked, Observe: s.Observe, SettingName: settingName,
	}
}

func sqlite(s Settings) sqlitestore.Config {
	return sqlitestore.Config{URL: s.URL, Existing: s.Existing, Observe: s.Observe}
}

func validateSQLite(s Settings) error {
	if strings.Contains(s.URL, "?") {
		return config.Problemf("DATABASE_URL", ": a SQLite database takes no parameters, and %.200q would be the name of a file: leave out everything from ? on", strings.TrimPrefix(s.URL, "sqlite:"))
	}
	return sqlite(s).Validate()
}

// opened keeps a nil store from becoming a Database that is not nil.
func opened[S Database](store S, err error) (Database, error) {
	if err != nil {
		return nil, err
	}
	return store, nil
}

// settings are those of the server, by the field of a store's Config.
var settings = map[string]string{"URL": "DATABASE_URL", "MaxConns": "DB_MAX_CONNS", "Pooler": "DB_POOLER=true"}

// settingName names a field of a store's Config in the store's messages.
func settingName(field string) string {
	if name := settings[field]; name != "" {
		return name
	}
	return "Config." + field
}

// maxConns is more than any database takes.
const maxConns = 10000

// Validate returns what is wrong with the settings, a [config.Problem]. It contacts
// nothing.
func Validate(s Settings) error {
	k, known := of(s.URL)
	switch {
	case !known:
		return unknown(s.URL)
	case s.MaxConns < 2 || s.MaxConns > maxConns:
		return config.Problemf("DB_MAX_CONNS", "must be from 2 to %d, not %d: one connection is kept for heartbeats and results", maxConns, s.MaxConns)
	}
	err := k.validate(s)
	var wrong *queue.ConfigError
	if !errors.As(err, &wrong) {
		return err
	}
	name, _, _ := strings.Cut(settingName(wrong.Field), "=")
	if text, found := strings.CutPrefix(wrong.Text, "it "); found { // the name begins the sentence
		return config.Problemf(name, "%s", text)
	}
	return config.Problemf(name, ": %s", wrong.Text)
}

// Open connects to a database, whose settings are valid.
func Open(ctx context.Context, s Settings) (Database, error) {
	k, known := of(s.URL)
	if !known {
		return nil, unknown(s.URL)
	}
	return k.open(ctx, s)
}

func of(rawURL string) (k kind, known bool) {
	k, known = kinds[dburl.Scheme(rawURL)]
	return k, known
}

// Embedded reports whether a URL is of a database that is a part of this process,
// which no server looks after.
func Embedded(rawURL string) bool { k, _ := of(rawURL); return k.embedded }

// IsMySQL reports whether a URL is of MySQL or MariaDB.
func IsMySQL(rawURL string) bool { k, _ := of(rawURL); return k.telemetry == "mysql" }

// TelemetryName returns the name of a URL's database system in OpenTelemetry's
// conventions.
func TelemetryName(rawURL string) string { k, _ := of(rawURL); return k.telemetry }

// MigrationSQL returns all migrations of a URL's kind of database as plain SQL.
func MigrationSQL(rawURL string) (string, error) {
	k, known := of(rawURL)
	if !known {
		return "", unknown(rawURL)
	}
	return k.migrationSQL(), nil
}

// unknown says how a database is named. It quotes no more of the URL than its
// scheme or a path, since the rest may hold a password.
func unknown(rawURL string) error {
	const must = "must begin with postgres://, mysql://, mariadb://, sqlite:PATH or sqlite::memory:"
	if form := dburl.Suggestion(rawURL); form != "" {
		return config.Problemf("DATABASE_URL", "%s; write %s", must, form)
	}
	if scheme := dburl.Scheme(rawURL); scheme != "" && strings.Contains(rawURL, "://") {
		return config.Problemf("DATABASE_URL", "%s, not %.20q", must, scheme+":")
	}
	return config.Problemf("DATABASE_URL", "%s", must)
}

// Describe returns the parts of a URL that a log may show: scheme, user, host and
// name.
func Describe(rawURL string) string {
	if Embedded(rawURL) {
		return rawURL
	}
	rawURL, err := dburl.Canonical(rawURL)
	if err != nil {
		return "a URL that cannot be read"
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return "a URL that cannot be read"
	}
	host := u.Host
	if host == "" {
		host = u.Query().Get("host") + u.Query().Get("socket") // a socket, or its directory
	}
	user := ""
	if u.User != nil {
		user = u.User.Username() + "@"
	}
	return u.Scheme + "://" + user + host + u.Path
}
