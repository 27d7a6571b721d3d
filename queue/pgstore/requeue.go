package pgstore

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Requeue makes RUNNING rows whose worker is gone READY or FAILED. It reads them
// first, and changes those that have not changed since.
func (s *Store) Requeue(ctx context.Context, r queue.RequeueRequest) (done queue.RequeueResult, err error) {
	if r.Limit < 1 {
		return done, nil
	}
	defer s.hints.forget()
	err = s.on(ctx, "requeue tasks", func(conn *pgx.Conn) error {
		done = queue.RequeueResult{}
		ready, failed, err := abandoned(ctx, conn, r)
		if err != nil {
			return err
		}
		if r.DryRun {
			done = queue.RequeueResult{Ready: len(ready), Failed: len(failed)}
			return nil
		}
		if done.Ready, err = requeue(ctx, conn, ready); err != nil {
			return err
		}
		for _, held := range failed {
			ok, err := failAbandoned(ctx, conn, held)
			if err != nil {
				return err
			}
			if ok {
				done.Failed++
			}
		}
		return nil
	})
	return done, err
}

// heldClaim is a claim with the end of its lease: while both are the same, the row has
// not changed.
type heldClaim struct {
	queue.Claim
	lease time.Time
}

// abandonedQuery: index: claimcheck_tasks_lease.
func abandonedQuery(r queue.RequeueRequest) (string, []any) {
	filter, args := within(r.Filter, 5)
	lock := ` FOR UPDATE SKIP LOCKED` // the rows after locked ones must be found
	if r.DryRun {
		lock = ""
	}
	return `SELECT id, claim_id, lease_expires_at, $1::bool OR attempts >= coalesce(nullif($2::int8, 0), max_attempts)
FROM claimcheck_tasks
WHERE status = 'RUNNING' AND lease_expires_at <= now() AND last_attempted_at <= now() - $3::interval` + filter + `
ORDER BY lease_expires_at
LIMIT $4::int8` + lock, append([]any{r.MarkFailed, r.MaxAttempts, r.OlderThan, r.Limit}, args...)
}

// abandoned returns the claims to end, by the status that their rows get.
func abandoned(ctx context.Context, q querier, r queue.RequeueRequest) (ready, failed []heldClaim, err error) {
	query, args := abandonedQuery(r)
	result, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, nil, err
	}
	var held heldClaim
	var fails bool
	_, err = pgx.ForEachRow(result, []any{(*id)(&held.ID), (*id)(&held.ClaimID), (*moment)(&held.lease), &fails}, func() error {
		if fails {
			failed = append(failed, held)
		} else {
			ready = append(ready, held)
		}
		return nil
	})
	return ready, failed, err
}

// requeueQuery skips locked rows: they are changing, and two such statements could
// otherwise deadlock. Index: the primary key.
const requeueQuery = `
UPDATE claimcheck_tasks SET ` + setReclaimed + `, max_attempts = greatest(max_attempts, attempts + 1)
WHERE id = ANY(ARRAY(
	SELECT t.id FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS c(id, claim_id, lease)
	JOIN claimcheck_tasks t ON t.id = c.id
	WHERE ` + isRunning + ` AND t.claim_id = c.claim_id AND t.lease_expires_at = c.lease
	FOR UPDATE OF t SKIP LOCKED))`

// requeue makes rows READY and returns their number.
func requeue(ctx context.Context, q querier, rows []heldClaim) (int, error) {
	if len(rows) == 0 {
		return 0, nil
	}
	ids, claimIDs, leases := make([]pgtype.UUID, len(rows)), make([]pgtype.UUID, len(rows)), make([]pgtype.Timestamptz, len(rows))
	for i, row := range rows {
		ids[i], claimIDs[i], leases[i] = uuidValue(row.ID), uuidValue(row.ClaimID), timeValue(row.lease)
	}
	return count(q.Exec(ctx, requeueQuery, ids, claimIDs, leases))
}

// failAbandoned fails one row. It reports false if the row has changed.
func failAbandoned(ctx context.Context, q *pgx.Conn, held heldClaim) (bool, error) {
	row, now, err := load(ctx, q, held.ID)
	if errors.Is(err, queue.ErrNotFound) || err == nil && (row.Claim() != held.Claim || !row.LeaseExpiresAt.Equal(held.lease)) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return loseWorker(ctx, q, row, now)
}
