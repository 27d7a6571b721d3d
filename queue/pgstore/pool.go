package pgstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// NewPool returns a pool for the statements of the program itself, to the database
// that c describes. Its connections have the settings of their role and database,
// whereas those of a [Store] have settings for the store's statements; and what
// holds them all does not keep the store from its heartbeats. It contacts nothing
// yet. The caller closes it.
func NewPool(ctx context.Context, c Config) (*pgxpool.Pool, error) {
	config, err := c.poolConfig()
	if err != nil {
		return nil, err
	}
	config.AfterConnect = nil
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("pgstore: NewPool: %w", err)
	}
	return pool, nil
}
