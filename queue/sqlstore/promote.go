package sqlstore

import (
	"cmp"
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Promote makes claimable what time has made so.
func (s *Store) Promote(ctx context.Context, limit int) (queue.Promotion, error) {
	var p queue.Promotion
	seen, err := s.probe(ctx)
	if err != nil {
		return p, err
	}
	if seen.due() {
		if p, err = s.promoteDue(ctx, limit); err != nil {
			return p, err
		}
		if seen, err = s.probe(ctx); err != nil {
			return p, err
		}
	}
	p.Claimable, p.Next = seen.claimable, seen.next()
	return p, nil
}

// promoteDue handles what is due, at most limit rows of each kind.
func (s *Store) promoteDue(ctx context.Context, limit int) (p queue.Promotion, err error) {
	err = s.write(ctx, "promote tasks", func(ctx context.Context, tx querier, now time.Time) error {
		p.Released, err = changeAll(ctx, tx, now, limit, s.dialect.heldDue(), func(*queue.Row, time.Time) {})
		if err != nil {
			return err
		}
		p.Reclaimed, err = changeAll(ctx, tx, now, limit, s.dialect.leaseExpired(), reclaim)
		if err != nil {
			return err
		}
		p.Failed, err = changeAll(ctx, tx, now, limit, s.dialect.workerLost(), loseWorker)
		return err
	})
	return p, err
}

// The rows that time has changed, until now and at most so many.

// Index: claimcheck_tasks_held.
func (d *dialect) heldDue() string {
	return `SELECT ` + columns + ` FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_held") + `
		WHERE ` + d.held + ` AND ` + d.heldUntil + ` <= ?
		ORDER BY ` + d.heldUntil + ` LIMIT ?`
}

func (d *dialect) leaseExpired() string { return d.expired(`attempts < max_attempts`) }
func (d *dialect) workerLost() string   { return d.expired(`attempts >= max_attempts`) }

// Index: claimcheck_tasks_lease.
func (d *dialect) expired(which string) string {
	return `SELECT ` + columns + ` FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_lease") + `
		WHERE status = 'RUNNING' AND lease_expires_at <= ? AND ` + which + `
		ORDER BY lease_expires_at LIMIT ?`
}

// changeAll changes the rows that query finds, and counts them.
func changeAll(ctx context.Context, tx querier, now time.Time, limit int, query string, change func(*queue.Row, time.Time)) (int, error) {
	rows, err := list(ctx, tx, query, micros(now), limit)
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		change(row, now)
		if err := save(ctx, tx, row, now); err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}

// reclaim takes a row from a claim whose lease has expired; the claim ID goes
// with it. The sweeper dispatches it at once.
func reclaim(row *queue.Row, now time.Time) {
	row.Status = queue.StatusReady
	row.ClaimID = uuid.Nil
	row.LeaseExpiresAt = time.Time{}
	row.DispatchDueAt = now
}

// sight is what one look at the database shows.
type sight struct {
	now       time.Time
	held      time.Time // when the next delayed row is due
	lease     time.Time // when the next lease expires
	claimable bool
}

func (s sight) due() bool {
	return !s.held.IsZero() && !s.held.After(s.now) || !s.lease.IsZero() && !s.lease.After(s.now)
}

// next is how long until something is due, zero if nothing will be.
func (s sight) next() time.Duration {
	first := s.held
	if first.IsZero() || !s.lease.IsZero() && s.lease.Before(first) {
		first = s.lease
	}
	if first.IsZero() {
		return 0
	}
	return max(first.Sub(s.now), time.Microsecond)
}

// Indexes: the first entry of claimcheck_tasks_held, _lease and _claim (ordered,
// or SQLite takes another one and walks over what is held).
func (d *dialect) probe() string {
	return `SELECT ` + cmp.Or(d.clock, `?`) + `,
	(SELECT ` + d.heldUntil + ` FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_held") + ` WHERE ` + d.held + `
		ORDER BY ` + d.heldUntil + ` LIMIT 1),
	(SELECT lease_expires_at FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_lease") + ` WHERE status = 'RUNNING' AND lease_expires_at IS NOT NULL
		ORDER BY lease_expires_at LIMIT 1),
	(SELECT 1 FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_claim") + ` WHERE ` + d.free + ` AND attempts < max_attempts
		ORDER BY ` + d.freeOrder + ` LIMIT 1) IS NOT NULL`
}

func (s *Store) probe(ctx context.Context) (seen sight, err error) {
	err = s.read(ctx, "promote tasks", func(conn querier) error {
		var clock []any
		if s.dialect.clock == "" {
			clock = append(clock, micros(s.now()))
		}
		return conn.QueryRowContext(ctx, s.dialect.probe(), clock...).Scan(at(&seen.now), at(&seen.held), at(&seen.lease), &seen.claimable)
	})
	return seen, err
}
