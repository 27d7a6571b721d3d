package mysqlstore

import (
	"database/sql"

	"github.com/go-sql-driver/mysql"

	"github.com/claimcheck-go/claimcheck/queue"
)

// NewPool returns a pool for the statements of the program itself, to the database
// that c describes. Its connections have the settings of their server and of the
// URL, with times as time.Time in UTC, whereas those of a [Store] have settings for
// the store's statements; and what holds them all does not keep the store from its
// heartbeats. It contacts nothing yet. The caller closes it.
func NewPool(c Config) (*sql.DB, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	parsed, err := parseURL(c.URL, c.DialFunc != nil)
	if err != nil {
		return nil, err
	}
	if c.DialFunc != nil {
		parsed.DialFunc = c.DialFunc
	}
	if parsed.Timeout == 0 {
		parsed.Timeout = c.AcquireTimeout
	}
	parsed.ParseTime = true
	made, err := mysql.NewConnector(parsed)
	if err != nil {
		return nil, &queue.ConfigError{Field: "URL", Text: err.Error(), Err: err}
	}
	db := sql.OpenDB(made)
	db.SetMaxOpenConns(c.MaxConns)
	db.SetMaxIdleConns(c.MaxConns)
	return db, nil
}
