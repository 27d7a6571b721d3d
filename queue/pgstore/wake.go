package pgstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
)

var _ queue.Waker = (*Store)(nil)

// channel is the name that workers LISTEN to.
const channel = "claimcheck_tasks"

// Wake signals all listeners.
func (s *Store) Wake(ctx context.Context) error {
	return s.on(ctx, "wake workers", func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `SELECT pg_notify($1::text, '')`, channel)
		return err
	})
}

// Listen calls wake for each signal, until ctx ends. It uses a connection of its own,
// beside the pool. Signals do not pass a transaction pooler: there it returns
// [errors.ErrUnsupported].
func (s *Store) Listen(ctx context.Context, wake func()) error {
	const op = "listen for wake-ups"
	if s.pool.Config().ConnConfig.DefaultQueryExecMode != pgx.QueryExecModeCacheStatement {
		return fmt.Errorf("%s: %w: connections come from a transaction pooler", op, errors.ErrUnsupported)
	}
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return s.translate(ctx, op, err)
	}
	conn := pooled.Hijack()
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return s.translate(ctx, op, err)
	}
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return s.translate(ctx, op, err)
		}
		wake()
	}
}
