package sqlitestore

import (
	"cmp"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/sqlstore"
)

// poolConns is how many connections a pool of [NewPool] has at most.
const poolConns = 4

// NewPool returns a pool for the statements of the program itself, to the file that
// c describes, with the same safety as the store's. It contacts nothing yet, and
// creates the file when it is first used. The caller closes it. A database in memory
// is refused, since each connection to one is a database of its own: use [Store.DB].
func NewPool(c Config) (*sql.DB, error) {
	path, err := c.Path()
	if err != nil {
		return nil, err
	}
	if path == "" {
		return nil, &queue.ConfigError{Field: "URL", Text: "a database in memory has no connections but those of its Store: use Store.DB"}
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("sqlitestore: NewPool: %w", err)
	}
	wait := cmp.Or(c.AcquireTimeout, sqlstore.DefaultAcquireTimeout)
	return openSQLite(fmt.Sprintf("%s?_busy_timeout=%d&_journal_mode=WAL&_synchronous=FULL&_txlock=immediate",
		(&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}).String(), wait.Milliseconds()), poolConns)
}
