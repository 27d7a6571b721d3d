package system

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/mysqlstore"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// store is a store of the product's that measures how long claims take.
type store interface {
	queue.Store
	Close() error
	timeClaims(claimed func(time.Duration))
}

// timer passes on how long claims took that found something.
type timer struct{ claimed func(time.Duration) }

func (t *timer) timeClaims(claimed func(time.Duration)) { t.claimed = claimed }

func (t *timer) time(claim func() ([]*queue.Row, error)) ([]*queue.Row, error) {
	began := time.Now()
	rows, err := claim()
	if len(rows) > 0 {
		timed(t.claimed, began)
	}
	return rows, err
}

// Each store is embedded as it is, so that it keeps all that it can do.
type (
	timedPostgres struct {
		*pgstore.Store
		timer
	}
	timedSQLite struct {
		*sqlitestore.Store
		timer
	}
	timedMySQL struct {
		*mysqlstore.Store
		timer
	}
)

// ClaimNext is the store's, timed.
func (s *timedPostgres) ClaimNext(ctx context.Context, req queue.ClaimNextRequest) ([]*queue.Row, error) {
	return s.time(func() ([]*queue.Row, error) { return s.Store.ClaimNext(ctx, req) })
}

// ClaimNext is the store's, timed.
func (s *timedSQLite) ClaimNext(ctx context.Context, req queue.ClaimNextRequest) ([]*queue.Row, error) {
	return s.time(func() ([]*queue.Row, error) { return s.Store.ClaimNext(ctx, req) })
}

// ClaimNext is the store's, timed.
func (s *timedMySQL) ClaimNext(ctx context.Context, req queue.ClaimNextRequest) ([]*queue.Row, error) {
	return s.time(func() ([]*queue.Row, error) { return s.Store.ClaimNext(ctx, req) })
}

func openPostgres(ctx context.Context, url string, pooler bool) (store, error) {
	s, err := pgstore.Open(ctx, pgstore.Config{URL: url, MaxConns: poolSize, Pooler: pooler})
	if err != nil {
		return nil, err
	}
	return &timedPostgres{Store: s}, nil
}

func openSQL(ctx context.Context, url string) (store, error) {
	if strings.HasPrefix(url, "sqlite:") {
		s, err := sqlitestore.Open(ctx, sqlitestore.Config{URL: url})
		if err != nil {
			return nil, err
		}
		return &timedSQLite{Store: s}, nil
	}
	s, err := mysqlstore.Open(ctx, mysqlstore.Config{URL: url, MaxConns: poolSize})
	if err != nil {
		return nil, err
	}
	return &timedMySQL{Store: s}, nil
}

func migratePostgres(ctx context.Context, url string) error {
	s, err := pgstore.Open(ctx, pgstore.Config{URL: url})
	if err != nil {
		return err
	}
	_, err = s.Migrate(ctx)
	return errors.Join(err, s.Close())
}

func migrateSQL(ctx context.Context, url string) error {
	var s interface{ Close() error }
	var err error
	if strings.HasPrefix(url, "sqlite:") {
		s, err = sqlitestore.Open(ctx, sqlitestore.Config{URL: url, Migrate: true})
	} else {
		s, err = mysqlstore.Open(ctx, mysqlstore.Config{URL: url, Migrate: true})
	}
	if err != nil {
		return err
	}
	return s.Close()
}
