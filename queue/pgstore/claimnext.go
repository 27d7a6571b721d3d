package pgstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// ClaimNext claims up to req.Limit rows that are READY and due.
func (s *Store) ClaimNext(ctx context.Context, req queue.ClaimNextRequest) ([]*queue.Row, error) {
	if len(req.Tasks) == 0 || req.Limit < 1 {
		return nil, nil
	}
	if req.Fence == uuid.Nil {
		req.Fence = queue.NewClaimID()
	}
	var rows []*queue.Row
	room := queue.MaxClaimBytes
	if from, known := s.hints.start(req, time.Now()); known {
		var took time.Duration
		var err error
		req.Fence[7] &^= 1
		if rows, took, err = s.claimFrom(ctx, req, from); err != nil {
			return nil, err
		}
		if len(rows) > 0 {
			s.hints.advance(req, rows)
		}
		if from.above && took >= slowScan {
			s.timeAbove(ctx, req, took)
		}
		for _, row := range rows {
			room -= len(row.Args)
		}
		if satisfied(req, rows) || room <= 0 {
			return rows, nil
		}
		req.Prefetch = min(req.Prefetch, req.Limit-len(rows))
		req.Limit -= len(rows)
	}
	req.Fence[7] |= 1
	more, took, err := s.claimNext(ctx, req, room, s.claimTexts().next)
	if err == nil && s.hints.scanned(req, more, took, time.Now()) {
		s.timeAbove(ctx, req, took)
	}
	return append(rows, more...), err
}

// satisfied reports whether a claim found as many rows as it wanted, or may have
// ended before a row that must not be prefetched.
func satisfied(req queue.ClaimNextRequest, rows []*queue.Row) bool {
	return len(rows) == req.Limit || req.Prefetch > 0 && len(rows) >= req.Free()
}

// claimNext claims rows with one of the two statements below, with room for so many
// bytes of arguments, and returns how long that took, without the wait for a connection, which says nothing about the scan.
func (s *Store) claimNext(ctx context.Context, req queue.ClaimNextRequest, room int, query claimStatement, more ...any) (rows []*queue.Row, took time.Duration, err error) {
	args := append([]any{req.Worker, req.Lease, knows(req.Tasks, req.Keys), append([]string{}, req.Queues...), req.Backend, req.Limit, req.Fence.String()[:fencePrefix]}, more...)
	text := query.free
	if req.Prefetch > 0 {
		args, text = append(args, req.Free(), uuidValues(req.NotPrefetch)), query.prefetching
	}
	args = append(args, room)
	err = s.on(ctx, "claim next tasks", func(conn *pgx.Conn) error {
		began := time.Now()
		rows = nil
		result, err := conn.Query(ctx, text, args...)
		err = eachClaimed(ctx, conn, result, err, func(r *scanned) *queue.Row {
			row := r.claimed(queue.PullClaimID(req.Fence, r.ID), req.Lease)
			rows = append(rows, row)
			return row
		})
		took = time.Since(began)
		return err
	})
	if err != nil {
		return nil, took, err
	}
	slices.SortFunc(rows, storekit.ClaimOrder) // an UPDATE returns its rows in no order
	return rows, took, nil
}

func (s *Store) claimFrom(ctx context.Context, req queue.ClaimNextRequest, from position) ([]*queue.Row, time.Duration, error) {
	return s.claimNext(ctx, req, queue.MaxClaimBytes, s.claimTexts().from, from.priority, timeValue(from.enqueuedAt), uuidValue(from.id), from.above)
}

// timeAbove finds out whether it is slow to look for rows of higher priority than those
// that were just claimed, by a claim that took so long. It looks no longer than until it
// knows: the whole search would take as long as that claim once more. If it fails, the
// search counts as slow.
func (s *Store) timeAbove(ctx context.Context, req queue.ClaimNextRequest, claim time.Duration) {
	from, _ := s.hints.start(req, time.Now())
	var took time.Duration
	err := s.on(ctx, "measure a claim", func(conn *pgx.Conn) error {
		began := time.Now()
		_, err := conn.Exec(ctx, s.claimTexts().above, knows(req.Tasks, req.Keys), append([]string{}, req.Queues...), req.Backend, from.priority, req.Limit, slowScan)
		took = time.Since(began)
		return err
	})
	if err == nil {
		s.hints.timed(req, took, claim, time.Now())
	}
}

// fencePrefix is the part of a claim ID that comes from the fence: 57 random bits and
// three that distinguish the statements of a pull. The rest is the end of the
// row's own ID, as in queue.PullClaimID: a random ID for each row took PostgreSQL a
// fifth of the whole claim.
const fencePrefix = len("00000000-0000-4000-")

// wanted is the condition of the rows that a request asks for. Parameter p holds what
// knows returns; the queues and the backend follow.
func wanted(gates string, p int) string {
	return fmt.Sprintf(`hold = 0 AND attempts < max_attempts AND `+mayStart+` AND `+gates+` AND task_path = ANY($%[1]d::text[]) AND `+hasKey(fmt.Sprintf(`$%d::text[]`, p))+`
		AND (cardinality($%[2]d::text[]) = 0 OR queue_name = ANY($%[2]d::text[])) AND ($%[3]d::text = '' OR backend_name = $%[3]d::text)`, p, p+1, p+2)
}

// argsSize is the length of a row's arguments as JSON text, or up to four bytes less.
// Only those that are compressed are read for it.
const argsSize = `CASE WHEN pg_column_compression(args) IS NULL THEN pg_column_size(args) - 4 ELSE octet_length(args::text) END`

// first selects the first rows that may be claimed and that no transaction has locked.
func first(gates, condition string) string {
	return `
	SELECT ctid AS tid, id, attempts, max_attempts, ` + argsSize + ` AS size FROM claimcheck_tasks
	WHERE ` + wanted(gates, 3) + condition + `
	ORDER BY priority DESC, enqueued_at, id
	LIMIT $6::int8 FOR UPDATE SKIP LOCKED`
}

// claimStatement is a claim in two forms: for free slots only, and with prefetching.
// Both end before the first row that queue.ClaimNextRequest.Claimable leaves out: that
// row stays locked until the end of the statement, and is not changed.
type claimStatement struct{ free, prefetching string }

// claimRows claims candidates, which must be in claim order. The second form has two
// parameters after the first p: the number of free slots, and the rows that must not
// be prefetched. The last parameter of both is the room for arguments in bytes; with
// less than all of it, not even the first row is taken if it does not fit.
//
// The rows are locked, so their places (ctid) do not change until they are claimed.
// To look them up by their IDs would take a tenth of the whole claim.
func claimRows(candidates string, p int) claimStatement {
	update := func(room int, may string) string {
		return `
UPDATE claimcheck_tasks SET ` + setClaimed + `, claim_id = ($7::text || right(id::text, 17))::uuid
WHERE ctid = ANY((
	SELECT array_agg(tid) FROM (
		SELECT tid, attempts + 1 >= max_attempts AS durable, ` + fits(room) + may + ` AS may
		FROM (SELECT *, row_number() OVER () AS n FROM (` + candidates + `) AS found) AS numbered
		WINDOW sofar AS (ROWS UNBOUNDED PRECEDING)) AS judged
	WHERE may HAVING ` + haveRows + `)::tid[])
RETURNING ` + claimedColumns
	}
	return claimStatement{
		free: update(p+1, ""),
		prefetching: update(p+3, fmt.Sprintf(
			` AND bool_and(n <= $%d::int8 OR attempts = 0 AND max_attempts > 1 AND id NOT IN (SELECT unnest($%d::uuid[]))) OVER sofar`, p+1, p+2)),
	}
}

// fits is the condition of the rows for which there is room: parameter p.
func fits(p int) string {
	return fmt.Sprintf(`(n = 1 AND $%[1]d::int8 = %[2]d OR sum(size) OVER sofar <= $%[1]d::int8)`, p, queue.MaxClaimBytes)
}

func claimNextQuery(gates string) claimStatement { return claimRows(first(gates, ""), 7) }

// claimFromQuery skips the rows before the row ($8, $9, $10); if $11, only those of its
// own priority.
func claimFromQuery(gates string) claimStatement {
	return claimRows(`
	SELECT * FROM (`+first(gates, ` AND $11::bool AND priority > $8::int8`)+`) AS above
	UNION ALL SELECT * FROM (`+first(gates, ` AND priority = $8::int8 AND (enqueued_at, id) >= ($9::timestamptz, $10::uuid)`)+`) AS here
	UNION ALL SELECT * FROM (`+first(gates, ` AND priority < $8::int8`)+`) AS below
	LIMIT $6::int8`, 11)
}

// aboveQuery looks for rows of higher priority as claimFromQuery does, and claims
// none. After $6 any row counts as found, which ends it. Index: claimcheck_tasks_claim.
func aboveQuery(gates string) string {
	return `
SELECT count(*) FROM (
	SELECT id FROM claimcheck_tasks
	WHERE hold = 0 AND priority > $4::int8 AND (` + wanted(gates, 1) + ` OR clock_timestamp() > statement_timestamp() + $6::interval)
	ORDER BY priority DESC, enqueued_at, id
	LIMIT $5::int8) AS above`
}

// claimedQuery finds the rows that are RUNNING under claim IDs between two.
// Index: claimcheck_tasks_lease.
const claimedQuery = `
SELECT id, claim_id FROM claimcheck_tasks
WHERE status = 'RUNNING' AND claim_id >= $1::uuid AND claim_id <= $2::uuid
ORDER BY lease_expires_at`

// Claimed returns the claims that are held under a fence.
func (s *Store) Claimed(ctx context.Context, fence uuid.UUID) (claims []queue.Claim, err error) {
	first, last := queue.PullClaimIDs(fence)
	err = s.on(ctx, "find claimed tasks", func(conn *pgx.Conn) error {
		set, err := claimSet(conn.Query(ctx, claimedQuery, uuidValue(first), uuidValue(last)))
		claims = slices.Collect(maps.Keys(set))
		return err
	})
	return claims, err
}
