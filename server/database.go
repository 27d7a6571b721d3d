package server

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/dbfacts"
	"github.com/claimcheck-go/claimcheck/internal/dburl"
	"github.com/claimcheck-go/claimcheck/internal/migrate"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
	"github.com/claimcheck-go/claimcheck/queue/sqlstore"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// database is a store with what stands around it: its schema and its end.
type database interface {
	queue.Store
	queue.Operator
	Migrate(ctx context.Context) ([]migrate.Migration, error)
	MigrationStatus(ctx context.Context) ([]migrate.Migration, error)
	CheckSchema(ctx context.Context) error
	SchemaVersion(ctx context.Context) (int64, error)
	Inspect(ctx context.Context) (dbfacts.Facts, error)
	MissingRights(ctx context.Context) ([]string, error)
	CheckIntegrity(ctx context.Context, full bool) ([]string, error)
	Close() error
}

// opening says how a database is opened.
type opening struct {
	unchecked bool // also one that would be refused for its own settings or version: for doctor, which says so
	existing  bool // a SQLite file is not created
}

// openDatabase connects to the database that the settings name.
func (p *program) openDatabase(ctx context.Context, how opening) (database, error) {
	open, err := p.databaseOpener(how)
	if err != nil {
		return nil, err
	}
	rawURL, _ := p.config.DatabaseURL()
	if how.existing {
		if err := p.checkExists(rawURL); err != nil {
			return nil, err
		}
	}
	db, err := open(ctx)
	if err != nil {
		if problem := fileProblem(rawURL); problem != nil && !strings.Contains(err.Error(), problem.Error()) {
			err = fmt.Errorf("%w: %w", err, problem)
		}
		return nil, err
	}
	return db, nil
}

// databaseOpener judges the settings of the database, and returns what opens it.
func (p *program) databaseOpener(how opening) (open func(context.Context) (database, error), err error) {
	rawURL, err := p.config.DatabaseURL()
	if err != nil {
		return nil, err
	}
	if max := p.config.Settings.DBMaxConns; max < 2 || max > maxConns {
		return nil, config.Problemf("DB_MAX_CONNS", "must be from 2 to %d, not %d: one connection is kept for heartbeats and results", maxConns, max)
	}
	dial, name, err := p.dialer(rawURL)
	if err != nil {
		return nil, err
	}
	switch scheme := dburl.Scheme(rawURL); scheme {
	case "postgres":
		cfg := pgstore.Config{
			URL: rawURL, MaxConns: p.config.Settings.DBMaxConns, Pooler: p.config.Settings.DBPooler, DialFunc: dial, Name: name,
			Unchecked: how.unchecked, Observe: p.calls.begin, SettingName: databaseSetting,
		}
		if err := cfg.Validate(); err != nil {
			return nil, databaseProblem(err)
		}
		return func(ctx context.Context) (database, error) { return opened(pgstore.Open(ctx, cfg)) }, nil
	case "mysql", "sqlite":
		if scheme == "sqlite" && strings.Contains(rawURL, "?") {
			return nil, config.Problemf("DATABASE_URL", ": a SQLite database takes no parameters, and %.200q would be the name of a file: leave out everything from ? on", strings.TrimPrefix(rawURL, "sqlite:"))
		}
		cfg := sqlstore.Config{MaxConns: p.config.Settings.DBMaxConns, DialFunc: dial, Name: name, Existing: how.existing}
		if err := sqlstore.Validate(rawURL, cfg); err != nil {
			if strings.HasPrefix(err.Error(), "DATABASE_URL") {
				return nil, usageError{err}
			}
			return nil, config.Problemf("DATABASE_URL", ": %s", err)
		}
		if how.unchecked {
			return func(ctx context.Context) (database, error) { return opened(sqlstore.OpenUnchecked(ctx, rawURL, cfg)) }, nil
		}
		return func(ctx context.Context) (database, error) { return opened(sqlstore.Open(ctx, rawURL, cfg)) }, nil
	default:
		return nil, unknownDatabase(rawURL)
	}
}

// databaseSetting is the variable that sets a field of a store's Config.
func databaseSetting(field string) string {
	switch field {
	case "MaxConns":
		return "DB_MAX_CONNS"
	case "Pooler":
		return "DB_POOLER=true"
	}
	return "DATABASE_URL"
}

// databaseProblem returns the error of a store's Config as the problem of a setting.
func databaseProblem(err error) error {
	var wrong *queue.ConfigError
	if !errors.As(err, &wrong) {
		return usageError{err}
	}
	setting, _, _ := strings.Cut(databaseSetting(wrong.Field), "=")
	if text, ok := strings.CutPrefix(wrong.Text, "it "); ok { // the name of the setting begins the sentence
		return config.Problemf(setting, "%s", text)
	}
	return config.Problemf(setting, ": %s", wrong.Text)
}

// lateObserver is known to a store before there is anything to observe it with.
type lateObserver struct {
	observe func(ctx context.Context, op string) (ended func(error))
}

func (o *lateObserver) begin(ctx context.Context, op string) (ended func(error)) {
	if o.observe == nil {
		return func(error) {}
	}
	return o.observe(ctx, op)
}

// unknownDatabase says how a database is named. It quotes no more of the URL than
// its scheme or a path, since what else it holds may be a password.
func unknownDatabase(rawURL string) error {
	const must = "must begin with postgres://, mysql://, mariadb://, sqlite:PATH or sqlite::memory:"
	if form := dburl.Suggestion(rawURL); form != "" {
		return config.Problemf("DATABASE_URL", "%s; write %s", must, form)
	}
	if scheme := dburl.Scheme(rawURL); scheme != "" && strings.Contains(rawURL, "://") {
		return config.Problemf("DATABASE_URL", "%s, not %.20q", must, scheme+":")
	}
	return config.Problemf("DATABASE_URL", "%s", must)
}

// maxConns is more than any database takes.
const maxConns = 10000

// opened keeps a nil store from becoming a database that is not nil.
func opened[S database](store S, err error) (database, error) {
	if err != nil {
		return nil, err
	}
	return store, nil
}

// closeTime bounds the end of the connections, which includes that statements cut
// off are cancelled on the server: one that does not answer would keep the process
// for longer than a platform waits.
const closeTime = 2 * time.Second

// closeDatabase closes db, or leaves that to the end of the process.
func closeDatabase(db database, patience time.Duration) error {
	closed := make(chan error, 1)
	go func() { closed <- db.Close() }()
	select {
	case err := <-closed:
		return err
	case <-time.After(patience):
		return nil
	}
}

// describeDatabase is the URL for people: scheme, user, host and name, and
// nothing else that a URL may hold.
func describeDatabase(rawURL string) string {
	if strings.HasPrefix(rawURL, "sqlite:") {
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
