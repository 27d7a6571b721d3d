package pgstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/claimcheck-go/claimcheck/queue"
)

// heartbeatQuery renews the claims that are held, and waits for none: a row that a
// task has locked in its CompleteTx must not delay the others. Index: the primary key.
const heartbeatQuery = `
WITH held AS MATERIALIZED (
	SELECT t.id FROM unnest($1::uuid[], $2::uuid[]) AS c(id, claim_id)
	JOIN claimcheck_tasks t ON t.id = c.id AND t.claim_id = c.claim_id AND ` + isRunning + `
	FOR UPDATE OF t SKIP LOCKED
)
UPDATE claimcheck_tasks t SET lease_expires_at = now() + $3::interval
FROM held WHERE t.id = held.id
RETURNING t.id, t.claim_id`

// stillHeldQuery returns the given claims that are held. Index: the primary key.
const stillHeldQuery = `
SELECT t.id, t.claim_id FROM unnest($1::uuid[], $2::uuid[]) AS c(id, claim_id)
JOIN claimcheck_tasks t ON t.id = c.id AND t.claim_id = c.claim_id AND ` + isRunning

// Heartbeat makes the leases of the given claims expire after lease, and returns the
// claims that it renewed and those that are lost. Claims on locked rows are neither.
func (s *Store) Heartbeat(ctx context.Context, lease time.Duration, claims ...queue.Claim) (renewed, lost []queue.Claim, err error) {
	return s.heartbeat(ctx, claims, func(conn *pgx.Conn, ids, fences []pgtype.UUID) (pgx.Rows, error) {
		return conn.Query(ctx, heartbeatQuery, ids, fences, lease)
	})
}

// heartbeat renews claims by a statement that returns those it has renewed.
func (s *Store) heartbeat(ctx context.Context, claims []queue.Claim, renew func(conn *pgx.Conn, ids, fences []pgtype.UUID) (pgx.Rows, error)) (renewed, lost []queue.Claim, err error) {
	if len(claims) == 0 {
		return nil, nil, nil
	}
	err = s.with(ctx, "heartbeat", use{urgent: true}, func(conn *pgx.Conn) error {
		ids, claimIDs := claimValues(claims)
		held, err := claimSet(renew(conn, ids, claimIDs))
		if err != nil {
			return err
		}
		var rest []queue.Claim
		renewed, rest = split(claims, held)
		if lost = rest; len(rest) == 0 {
			return nil
		}
		_, lost, err = stillHeld(ctx, conn, rest)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return renewed, lost, nil
}

// stillHeld divides claims that a statement did not find into those that are held,
// because their rows were locked, and those that are lost.
func stillHeld(ctx context.Context, q querier, claims []queue.Claim) (held, lost []queue.Claim, err error) {
	if len(claims) == 0 {
		return nil, nil, nil
	}
	ids, claimIDs := claimValues(claims)
	set, err := claimSet(q.Query(ctx, stillHeldQuery, ids, claimIDs))
	if err != nil {
		return nil, nil, err
	}
	held, lost = split(claims, set)
	return held, lost, nil
}

func claimValues(claims []queue.Claim) (ids, claimIDs []pgtype.UUID) {
	for _, claim := range claims {
		ids, claimIDs = append(ids, uuidValue(claim.ID)), append(claimIDs, uuidValue(claim.ClaimID))
	}
	return ids, claimIDs
}

// claimSet reads the claims that a statement returns.
func claimSet(result pgx.Rows, err error) (map[queue.Claim]bool, error) {
	if err != nil {
		return nil, err
	}
	set := make(map[queue.Claim]bool)
	var claim queue.Claim
	_, err = pgx.ForEachRow(result, []any{(*id)(&claim.ID), (*id)(&claim.ClaimID)}, func() error {
		set[claim] = true
		return nil
	})
	return set, err
}

// split divides claims into those that are in set and the others.
func split(claims []queue.Claim, set map[queue.Claim]bool) (in, out []queue.Claim) {
	for _, claim := range claims {
		if set[claim] {
			in = append(in, claim)
		} else {
			out = append(out, claim)
		}
	}
	return in, out
}
