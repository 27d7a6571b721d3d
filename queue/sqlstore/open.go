package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/dburl"
	"github.com/claimcheck-go/claimcheck/internal/reserve"
)

// Open opens a database: "sqlite:PATH", which is created if need be,
// "sqlite::memory:" for one that lives and dies with the Store, or
// "mysql://user:password@host:3306/name" for MySQL 8 or MariaDB 10.6 and later
// ("mariadb://" means the same), with the parameters that parseMySQL names. Unless config.Migrate is
// set, call Migrate before the first use.
//
// The error of a server that is down, or lets nobody in, is one line that says
// what to check, and is queue.ErrUnavailable. No error contains the password.
func Open(ctx context.Context, rawURL string, config Config) (*Store, error) {
	config = config.withDefaults()
	s, err := open(ctx, rawURL, config)
	if err != nil || !config.Migrate {
		return s, err
	}
	if _, err := s.Migrate(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

func (config Config) withDefaults() Config {
	if config.Now == nil {
		config.Now = time.Now
	}
	config.AcquireTimeout = cmp.Or(config.AcquireTimeout, 5*time.Second)
	config.MaxConns = cmp.Or(config.MaxConns, 10)
	return config
}

// Validate reports what is wrong with rawURL, as Open would, without opening
// anything.
func Validate(rawURL string, config Config) (err error) {
	switch dburl.Scheme(rawURL) {
	case "sqlite":
		_, err = parseURL(rawURL)
	case "mysql", "mariadb":
		if _, err = parseMySQL(rawURL, config.DialFunc != nil); err == nil {
			err = config.checkConns()
		}
	default:
		err = noDatabase(rawURL)
	}
	return err
}

// noDatabase says what to write instead of a URL that is of no database here.
func noDatabase(rawURL string) error {
	const forms = "sqlite:PATH, sqlite::memory: or mysql://user:password@host:3306/name" //nolint:gosec // a form, not a password
	if scheme := dburl.Scheme(rawURL); scheme == "postgres" || scheme == "postgresql" {
		return errors.New("package sqlstore is for SQLite, MySQL and MariaDB (" + forms + "): open a PostgreSQL URL with package pgstore")
	}
	if form := dburl.Suggestion(rawURL); form != "" {
		return errors.New("the URL must begin with its scheme: write " + form)
	}
	return errors.New("the URL must have the form " + forms)
}

// checkConns refuses a pool that has no connection to keep for heartbeats.
func (config Config) checkConns() error {
	if config.MaxConns != 0 && config.MaxConns < reserve.MinConns {
		return fmt.Errorf("sqlstore: Config.MaxConns must be at least %d, not %d: one connection is kept for heartbeats and for storing results", reserve.MinConns, config.MaxConns)
	}
	return nil
}

func open(ctx context.Context, rawURL string, config Config) (*Store, error) {
	switch dburl.Scheme(rawURL) {
	case "sqlite":
		return openFile(ctx, rawURL, config)
	case "mysql", "mariadb":
		return openMySQL(ctx, rawURL, config)
	}
	return nil, noDatabase(rawURL)
}
