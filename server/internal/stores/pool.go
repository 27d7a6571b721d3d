package stores

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Pool is a pool of connections for a program's own statements. One of its fields is
// set.
type Pool struct {
	Pgx *pgxpool.Pool
	SQL *sql.DB
}

// NewPool returns a pool for the database of the settings, which are valid. It
// contacts nothing. A database in memory has none but the store's own.
func NewPool(ctx context.Context, s Settings) (Pool, error) {
	k, known := of(s.URL)
	if !known {
		return Pool{}, unknown(s.URL)
	}
	return k.pool(ctx, s)
}

// Close closes the pool, if there is one.
func (p Pool) Close() error {
	if p.Pgx != nil {
		p.Pgx.Close()
	}
	if p.SQL != nil {
		return p.SQL.Close()
	}
	return nil
}
