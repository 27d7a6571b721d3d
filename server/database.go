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
	settings, err := p.databaseSettings(how)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (database, error) { return stores.Open(ctx, settings) }, nil
}

// databaseSettings are those of the store, validated.
func (p *program) databaseSettings(how opening) (settings stores.Settings, err error) {
	rawURL, err := p.config.DatabaseURL()
	if err != nil {
		return settings, err
	}
	settings = stores.Settings{
		URL: rawURL, MaxConns: p.config.Settings.DBMaxConns, Pooler: p.config.Settings.DBPooler,
		Unchecked: how.unchecked, Existing: how.existing, Observe: how.observe,
	}
	if settings.DialFunc, settings.Name, err = p.dialer(rawURL); err != nil {
		return settings, err
	}
	return settings, stores.Validate(settings)
}

// newPool returns a pool for the program's own statements, to the database that the
// settings name. It contacts nothing.
func (p *program) newPool(ctx context.Context) (pool stores.Pool, err error) {
	settings, err := p.databaseSettings(opening{})
	if err != nil {
		return pool, err
	}
	return stores.NewPool(ctx, settings)
}
