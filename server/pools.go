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
// pool after the functions of [App.OnClose].
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
	if app.db == nil {
		app.db, _ = app.program.openDatabase(context.Background(), opening{})
	}
	if store, ok := app.db.(interface{ DB() *sql.DB }); ok {
		return store.DB()
	}
	return nil
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
	app.mu.Unlock()
	return pool.Close()
}

// ownPool returns the pool of the program itself. The settings were checked before
// Setup could ask for it.
func (app *App) ownPool() stores.Pool {
	app.mu.Lock()
	defer app.mu.Unlock()
	if app.pool == (stores.Pool{}) {
		app.pool, _ = app.program.newPool(context.Background())
	}
	return app.pool
}
