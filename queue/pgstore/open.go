package pgstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claimcheck-go/claimcheck/internal/dburl"
	"github.com/claimcheck-go/claimcheck/internal/reserve"
	"github.com/claimcheck-go/claimcheck/internal/tlserror"
	"github.com/claimcheck-go/claimcheck/queue"
)

// Config says which database to open, and how. Only URL is required.
type Config struct {
	// URL is postgres://user:password@host:port/database, with the parameters
	// that libpq knows; for a Unix socket,
	// postgres://user:password@/database?host=/directory, or
	// postgres://user:password@//directory/database.
	URL string
	// MaxConns is the size of the pool; 10 by default, and at least 2: one
	// connection is kept for heartbeats and for storing results. Listen uses one
	// beside the pool.
	MaxConns int
	// Pooler says that a transaction pooler such as PgBouncer sits in
	// between: statements are not prepared, which costs about twice the CPU.
	Pooler bool
	// DialFunc makes the connections in place of plain TCP, and encrypts
	// them itself: the Cloud SQL connector's. The URL then gives only user,
	// password and database.
	DialFunc pgconn.DialFunc
	// Name says in messages what DialFunc connects to; by default that is host
	// and port.
	Name string
	// AcquireTimeout is how long a call waits for a free connection, and how
	// long making one may take, before it fails with queue.ErrUnavailable;
	// DefaultAcquireTimeout by default.
	AcquireTimeout time.Duration
}

// Open connects to a database. It refuses one with synchronous_commit off. The
// error of one that is down, or lets nobody in, is one line that says what to
// check, and is queue.ErrUnavailable. No error contains the password.
func Open(ctx context.Context, config Config) (*Store, error) {
	s, err := OpenUnchecked(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := s.checkDurable(ctx); err != nil {
		s.abandon()
		return nil, err
	}
	return s, nil
}

// abandon closes a store that could not be opened. A connection that waits for a
// pooler takes 15 s to close, which is left to the background.
func (s *Store) abandon() {
	const patience = time.Second
	closed := make(chan struct{})
	go func() { defer close(closed); _ = s.Close() }()
	select {
	case <-closed:
	case <-time.After(patience):
	}
}

// Validate reports what is wrong with the configuration; it contacts nothing.
func (c Config) Validate() error {
	_, err := c.pool()
	return err
}

func (c Config) pool() (*pgxpool.Config, error) {
	rawURL, err := dburl.Canonical(c.URL)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	switch dburl.Scheme(rawURL) {
	case "mysql", "sqlite": // mariadb is mysql by now
		return nil, fmt.Errorf("package pgstore is for PostgreSQL: open a %s: URL with package sqlstore", dburl.Scheme(rawURL))
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "postgres" || dburl.Misread(rawURL) {
		// What url.Parse says may quote the password.
		return nil, errors.New("DATABASE_URL is not a PostgreSQL URL: it must look like postgres://user:password@host:5432/database, or postgres://user:password@/database?host=/directory for a socket, with special characters in the password percent-encoded (@ as %40, / as %2F, ? as %3F, # as %23)")
	}
	config, err := pgxpool.ParseConfig(rawURL)
	if err != nil {
		// It reads: cannot parse `URL`: reason.
		reason := err.Error()[strings.LastIndex(err.Error(), "`")+1:]
		if password, _ := u.User.Password(); password != "" {
			reason = strings.ReplaceAll(reason, password, "xxxxx")
		}
		return nil, fmt.Errorf("DATABASE_URL is not a PostgreSQL URL%s", reason)
	}
	if c.MaxConns != 0 && c.MaxConns < reserve.MinConns {
		return nil, fmt.Errorf("pgstore: Config.MaxConns must be at least %d, not %d: one connection is kept for heartbeats and for storing results", reserve.MinConns, c.MaxConns)
	}
	config.MaxConns = int32(cmp.Or(c.MaxConns, 10)) //nolint:gosec // nobody has two billion
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

// A connection that has been idle for longer than checkAfter is looked at before
// it is used, and one that has been for longer than pingAfter is asked: looking
// does not notice a peer that went away without a word.
const (
	checkAfter = time.Second
	pingAfter  = 5 * time.Minute
)

// shouldPing reports whether the pool pings a connection before it is used, and
// replaces it if it does not answer. By default the pool pings each one that has
// been idle for a second, which for a worker that has nothing to do is a statement
// beside each of its own. Reading tells without a statement that the server closed
// the connection, or has said that it will.
func shouldPing(_ context.Context, p pgxpool.ShouldPingParams) bool {
	switch {
	case p.IdleDuration <= checkAfter:
		return false
	case p.IdleDuration > pingAfter:
		return true
	}
	if quiet, known := isQuiet(p.Conn.PgConn().Conn()); known {
		return !quiet
	}
	return p.Conn.PgConn().CheckConn() != nil //nolint:staticcheck // Ping is what it replaces here: it does notice a closed connection
}

// session sets what the statements rely on. plan_cache_mode: the plans of
// prepared statements do not depend on the parameters, but the server goes on
// planning those that take arrays, which costs more than to run them. The
// isolation level may be another one by default for this role or database.
func session(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SET plan_cache_mode = force_generic_plan; SET default_transaction_isolation = 'read committed'`)
	return err
}

// checkDurable makes the first connection, and refuses a database that
// acknowledges rows before they are safe, or has no schema for the tables.
func (s *Store) checkDurable(ctx context.Context) error {
	var setting string
	err := s.firstAnswer(ctx, "open PostgreSQL", func(ctx context.Context) error {
		return s.on(ctx, "open PostgreSQL", func(conn *pgx.Conn) error {
			return s.askSettings(ctx, conn, &setting)
		})
	})
	if err != nil {
		return err
	}
	if setting == "off" {
		conn := s.pool.Config().ConnConfig
		return fmt.Errorf("open %s: synchronous_commit is off there, so a crash of the server loses acknowledged tasks: set it to on (in postgresql.conf, or by ALTER DATABASE %s SET synchronous_commit = on, or ALTER ROLE %s …)",
			s.where(), conn.Database, conn.User)
	}
	return nil
}

// firstAnswer runs do, which makes a connection or is its first statement, and
// gives both together the acquire timeout: a pooler accepts connections while it
// has none to the server to give, and lets their first statement wait.
func (s *Store) firstAnswer(ctx context.Context, op string, do func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, s.acquireTimeout)
	defer cancel()
	err := do(limited)
	if err == nil || ctx.Err() != nil || limited.Err() == nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	why := "it does not answer"
	switch {
	case s.accepted.Load() && s.pooler:
		why = "the pooler accepts connections and has none to the server to give (PgBouncer: SHOW POOLS says how many clients wait, default_pool_size how many are served)"
	case s.accepted.Load():
		why = "it accepted the connection and did not answer the first statement; if a pooler sits in between, it may have no connection to the server to give"
	}
	return &outage{fmt.Sprintf("%s: %s: no connection to %s within %s: %s", op, queue.ErrUnavailable, s.where(), s.acquireTimeout, why), queue.ErrUnavailable, err}
}

// outage is a failure of the database itself, in one line. kind is
// queue.ErrUnavailable, or one that says more.
type outage struct {
	text        string
	kind, cause error
}

func (e *outage) Error() string   { return e.text }
func (e *outage) Unwrap() []error { return []error{e.kind, e.cause} }

// contention says what a statement was given up for.
func (s *Store) contention(err *pgconn.PgError) string {
	text := fmt.Sprintf("%s (SQLSTATE %s)", err.Message, err.Code)
	if err.Code == "57014" && strings.Contains(err.Message, "statement timeout") {
		text += ": statement_timeout of this role or database is too short for it"
	}
	return text
}

// serverName names a server in messages: host and port, or the socket.
func serverName(host string, port uint16) string {
	if network, address := pgconn.NetworkAddress(host, port); network == "unix" {
		return address
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// where names the database in messages.
func (s *Store) where() string {
	c := s.pool.Config().ConnConfig
	return fmt.Sprintf("PostgreSQL at %s/%s as user %s", s.server, c.Database, c.User)
}

// explain says in one line what is wrong with the database, and what to check.
func (s *Store) explain(err error) string {
	var pgErr *pgconn.PgError
	var dns *net.DNSError
	var connectErr *pgconn.ConnectError
	said := func(format string, args ...any) string {
		return s.where() + ": " + fmt.Sprintf(format, args...)
	}
	cause := lastAttempt(err)
	switch {
	case errors.As(err, &pgErr) && pgErr.Code == "28000" && strings.Contains(pgErr.Message, "pg_hba.conf"):
		return said("the server does not let this user in from here, or not in this way (%s, SQLSTATE %s): check its pg_hba.conf, and sslmode in DATABASE_URL", pgErr.Message, pgErr.Code)
	case pgErr != nil && (pgErr.Code == "28P01" || pgErr.Code == "28000"):
		return said("the server refused this user or password (%s, SQLSTATE %s): check both in DATABASE_URL", pgErr.Message, pgErr.Code)
	case pgErr != nil && pgErr.Code == "3D000":
		return said("there is no such database: create it, or correct the name in DATABASE_URL")
	case pgErr != nil && pgErr.Code == "25006":
		return said("it accepts no writes (%s, SQLSTATE %s): it is a standby, or default_transaction_read_only is on for it, this database or this role", pgErr.Message, pgErr.Code)
	case pgErr != nil:
		return said("%s (SQLSTATE %s)", pgErr.Message, pgErr.Code)
	case s.dialFunc && errors.As(err, &connectErr):
		_, text, _ := strings.Cut(oneLine(err), "dial error: ") // before it stands an address that means nothing
		return said("it cannot be reached: %s", cmp.Or(text, innermost(err)))
	case errors.As(err, &dns):
		return said("the host name is not known: check it in DATABASE_URL")
	case tlserror.Is(cause), errors.As(err, &connectErr) && strings.Contains(cause.Error(), refusedTLS):
		return said("no encrypted connection (%s): check sslmode and sslrootcert in DATABASE_URL", innermost(cause))
	case errors.As(err, &connectErr) && otherProtocol.MatchString(cause.Error()):
		return said("what answers there is not PostgreSQL: are host and port in DATABASE_URL right?")
	case errors.As(err, &connectErr) && strings.HasPrefix(s.server, "/"):
		return said("it does not answer (%s): is it running, and is the socket in DATABASE_URL right? (On Cloud Run the service's Cloud SQL connections must name the instance.)", innermost(cause))
	case errors.As(err, &connectErr):
		return said("it does not answer (%s): is it running, and are host and port in DATABASE_URL right?", innermost(cause))
	}
	return said("the connection broke (%s)", innermost(err))
}

// refusedTLS is the text of the driver's error when a server has no TLS.
const refusedTLS = "server refused TLS connection"

// otherProtocol matches the driver's errors when the peer does not speak
// PostgreSQL's protocol.
var otherProtocol = regexp.MustCompile("received unexpected message|unknown message type")

// lastAttempt is err without the attempts that the server refused to encrypt, if
// another attempt followed: with sslmode=prefer, the default, one without TLS
// does, and its error is the cause.
func lastAttempt(err error) error {
	var connectErr *pgconn.ConnectError
	if !errors.As(err, &connectErr) {
		return err
	}
	attempts, several := connectErr.Unwrap().(interface{ Unwrap() []error })
	if !several {
		return err
	}
	var others []error
	for _, attempt := range attempts.Unwrap() {
		if !strings.Contains(attempt.Error(), refusedTLS) {
			others = append(others, attempt)
		}
	}
	if len(others) == 0 {
		return err
	}
	return errors.Join(others...)
}

// innermost is the first cause at the bottom of err: what is above it repeats
// the addresses, once for each.
func innermost(err error) string {
	for {
		switch wrapped := err.(type) {
		case interface{ Unwrap() []error }:
			err = wrapped.Unwrap()[0]
			continue
		case interface{ Unwrap() error }:
			if cause := wrapped.Unwrap(); cause != nil {
				err = cause
				continue
			}
		}
		return oneLine(err)
	}
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
