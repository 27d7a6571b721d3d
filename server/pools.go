package server

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

// PgxPool returns a pool of connections to the settings' database for the statements
// of the program; nil unless that is PostgreSQL. It is a pool beside the queue's, of
// up to DB_MAX_CONNS connections, made at the first call, so that tasks which hold
// connections keep no heartbeat waiting. PgxPool contacts nothing. The App closes the
// pool after the functions of [App.OnClose], and PgxPool then returns nil: a pool made
// after the shutdown would never be closed.
func (app *App) PgxPool() *pgxpool.Pool { return app.ownPool().Pgx }

// DB is [App.PgxPool] for MySQL, MariaDB and SQLite; nil for PostgreSQL. A SQLite
// database in memory has one connection, which the queue uses too: keep transactions
// on it brief, and call nothing of the queue within one but EnqueueTx.
func (app *App) DB() *sql.DB {
	rawURL, err := app.program.config.DatabaseURL()
	if err != nil || !stores.InMemory(rawURL) {
		return app.ownPool().SQL
	}
	app.mu.Lock()
	defer app.mu.Unlock()
	if app.poolsClosed {
		return nil
	}
	if app.db == nil {
		app.db, _ = app.program.openDatabase(context.Background(), opening{})
	}
	if store, ok := app.db.(interface{ DB() *sql.DB }); ok {
		return store.DB()
	}
	return nil
}

// openStore opens the queue's store, unless [App.DB] has opened it: a database in
// memory exists only there.
func (app *App) openStore(ctx context.Context, how opening) (err error) {
	if rawURL, _ := app.program.config.DatabaseURL(); stores.InMemory(rawURL) {
		app.mu.Lock() // the goroutines of Setup may call DB
		defer app.mu.Unlock()
		if app.db != nil {
			return nil
		}
	}
	app.db, err = app.program.openDatabase(ctx, how)
	return err
}

// hasOwnPool reports whether the program has asked for a pool.
func (app *App) hasOwnPool() bool {
	app.mu.Lock()
	defer app.mu.Unlock()
	return app.pool != stores.Pool{}
}

func (app *App) closePool() error {
	app.mu.Lock()
	pool := app.pool
	app.poolsClosed = true
	app.mu.Unlock()
	return pool.Close()
}

// ownPool returns the pool of the program itself. The settings were checked before
// Setup could ask for it.
func (app *App) ownPool() stores.Pool {
	app.mu.Lock()
	defer app.mu.Unlock()
	if app.poolsClosed {
		return stores.Pool{}
	}
	if app.pool == (stores.Pool{}) {
		app.pool, _ = app.program.newPool(context.Background())
	}
	return app.pool
}
