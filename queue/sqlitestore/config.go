package sqlitestore

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/dburl"
	"github.com/claimcheck-go/claimcheck/queue"
)

// Config says which database to open, and how. Only URL is required.
type Config struct {
	// URL is sqlite:PATH for a file, which is created if need be, or
	// sqlite::memory: for a database that exists as long as the Store.
	URL string
	// Pool is used in place of URL: see [New].
	Pool *sql.DB

	// Migrate makes Open bring the tables up to date.
	Migrate bool
	// Existing makes Open refuse a file that does not exist, instead of creating
	// it.
	Existing bool
	// AcquireTimeout is how long a call waits for its turn on the database before
	// it fails with queue.ErrUnavailable; 5 s by default.
	AcquireTimeout time.Duration
	// Now is the clock, since SQLite has none that other processes share;
	// time.Now by default.
	Now func() time.Time
	// Observe is called when the store begins a call, with what that is, and the
	// function that it returns when the call has ended: for spans.
	Observe func(ctx context.Context, op string) (ended func(error))
}

// Validate returns what is wrong with the configuration, a *queue.ConfigError. It
// opens nothing.
func (c Config) Validate() error {
	if c.Pool != nil {
		return checkPool(c)
	}
	_, err := c.Path()
	return err
}

// Path returns the path of the file that URL names; empty for a database in
// memory.
func (c Config) Path() (string, error) {
	const forms = "it must be sqlite:PATH or sqlite::memory:"
	path, ok := strings.CutPrefix(c.URL, "sqlite:")
	path = strings.TrimPrefix(path, "//")
	switch {
	case !ok:
		switch scheme := dburl.Scheme(c.URL); scheme {
		case "postgres", "postgresql":
			return "", badURL("%s; open a PostgreSQL URL with package pgstore", forms)
		case "mysql", "mariadb":
			return "", badURL("%s; open a MySQL URL with package mysqlstore", forms)
		}
		if form := dburl.Suggestion(c.URL); form != "" {
			return "", badURL("%s; write %s", forms, form)
		}
		return "", badURL(forms)
	case path == "":
		return "", badURL(forms)
	case path == ":memory:":
		return "", nil
	case misnamedMemory.MatchString(path):
		return "", badURL("%q would be the name of a file: a database in memory is named sqlite::memory:", path)
	}
	return path, nil
}

func badURL(format string, args ...any) error {
	return &queue.ConfigError{Field: "URL", Text: fmt.Sprintf(format, args...)}
}

// misnamedMemory are the paths that other programs' URLs of a database in memory
// turn into, such as SQLAlchemy's sqlite:///:memory:.
var misnamedMemory = regexp.MustCompile(`(?i)^(file)?[:/]*(:memory:?|memory:)$`)
