package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"
)

// Open opens a database: "sqlite:PATH", which is created if need be,
// "sqlite::memory:" for one that lives and dies with the Store, or
// "mysql://user:password@host:3306/name" for MySQL 8 or MariaDB 10.6 and
// later, with the parameters that parseMySQL names. Unless config.Migrate is
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
	scheme, _, _ := strings.Cut(rawURL, ":")
	switch scheme {
	case "sqlite":
		_, err = parseURL(rawURL)
	case "mysql":
		_, err = parseMySQL(rawURL, config.DialFunc != nil)
	default:
		err = errNoDatabase
	}
	return err
}

var errNoDatabase = errors.New("a database is named sqlite:PATH or sqlite::memory:, or mysql://user:password@host:3306/name")

func open(ctx context.Context, rawURL string, config Config) (*Store, error) {
	scheme, _, _ := strings.Cut(rawURL, ":")
	switch scheme {
	case "sqlite":
		return openFile(ctx, rawURL, config)
	case "mysql":
		return openMySQL(ctx, rawURL, config)
	}
	return nil, errNoDatabase
}
