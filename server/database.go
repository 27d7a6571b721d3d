package server

import (
	"context"
	"fmt"
	"strings"

	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

// database is what the settings name.
type database = stores.Database

// opening says how a database is opened.
type opening struct {
	unchecked bool // also one that would be refused for its own settings or version: for doctor, which says so
	existing  bool // a SQLite file is not created
	// observe is called when the store begins a call; it may be nil.
	observe func(ctx context.Context, op string) (ended func(error))
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
		if problem := stores.FileProblem(rawURL); problem != nil && !strings.Contains(err.Error(), problem.Error()) {
			err = fmt.Errorf("%w: %w", err, problem)
		}
		return nil, err
	}
	return db, nil
}

// databaseOpener validates the settings of the database, and returns what opens it.
func (p *program) databaseOpener(how opening) (open func(context.Context) (database, error), err error) {
	rawURL, err := p.config.DatabaseURL()
	if err != nil {
		return nil, err
	}
	settings := stores.Settings{
		URL: rawURL, MaxConns: p.config.Settings.DBMaxConns, Pooler: p.config.Settings.DBPooler,
		Unchecked: how.unchecked, Existing: how.existing, Observe: how.observe,
	}
	if settings.DialFunc, settings.Name, err = p.dialer(rawURL); err != nil {
		return nil, err
	}
	if err := stores.Validate(settings); err != nil {
		return nil, err
	}
	return func(ctx context.Context) (database, error) { return stores.Open(ctx, settings) }, nil
}
