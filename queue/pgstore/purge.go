package pgstore

import (
	"cmp"
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/claimcheck-go/claimcheck/queue"
)

// purgeQuery locks the first rows of each status and deletes the first of all these: only
// locked rows are certain to exist when they are deleted. It looks at those that finished
// until the one of a status that ends the window, and returns when that was.
// Index: claimcheck_tasks_finished, from $5 in each status and in its order; then the
// primary key (= ANY of an array is never planned as a scan).
const purgeQuery = `
WITH slice AS MATERIALIZED (
	SELECT min(last.finished_at) AS until FROM unnest($1::text[]) AS s, LATERAL (
		SELECT finished_at FROM claimcheck_tasks
		WHERE status = s AND finished_at > $5::timestamptz AND finished_at <= now() - $2::interval
		ORDER BY finished_at OFFSET $6::int8 LIMIT 1) AS last
), gone AS (
	DELETE FROM claimcheck_tasks
	WHERE id = ANY(ARRAY(
		SELECT first.id FROM unnest($1::text[]) AS s, LATERAL (
			SELECT id, finished_at FROM claimcheck_tasks
			WHERE status = s AND finished_at > $5::timestamptz AND finished_at <= least((SELECT until FROM slice), now() - $2::interval)
				AND ($3::text = '' OR task_path = $3::text)
				AND (delete_at IS NULL OR delete_at <= now()) AND (unique_until IS NULL OR unique_until <= now())
			ORDER BY finished_at
			LIMIT $4::int8 FOR UPDATE SKIP LOCKED) AS first
		ORDER BY first.finished_at
		LIMIT $4::int8))
	RETURNING finished_at
)
SELECT (SELECT count(*) FROM gone), (SELECT max(finished_at) FROM gone), until FROM slice`

// Purge deletes at most r.Limit final rows, those that finished first.
func (s *Store) Purge(ctx context.Context, r queue.PurgeRequest) (result queue.PurgeResult, err error) {
	statuses := finalNames(r)
	if len(statuses) == 0 || r.Limit < 1 {
		return result, nil
	}
	after := pgtype.Timestamptz{Time: r.After, Valid: true}
	if r.After.IsZero() {
		after.InfinityModifier = pgtype.NegativeInfinity
	}
	err = s.on(ctx, "purge tasks", func(conn *pgx.Conn) error {
		var last, end moment
		err := conn.QueryRow(ctx, purgeQuery, statuses, r.Age, r.Task, r.Limit, after, cmp.Or(r.Window, queue.PurgeWindow)-1).Scan(&result.Deleted, &last, &end)
		if result.Next = time.Time(end); result.Deleted == r.Limit {
			result.Next = time.Time(last).Add(-time.Microsecond) // others may have finished with it
		}
		return err
	})
	return result, err
}

// workingQuery: index: the first entry of claimcheck_tasks_lease.
const workingQuery = `SELECT coalesce((SELECT true FROM claimcheck_tasks WHERE status = 'RUNNING' ORDER BY lease_expires_at LIMIT 1), false)`

// Working reports whether any row is RUNNING.
func (s *Store) Working(ctx context.Context) (working bool, err error) {
	err = s.on(ctx, "find running tasks", func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, workingQuery).Scan(&working)
	})
	return working, err
}

// finalNames returns the statuses as strings, from whose type the driver infers the
// database's.
func finalNames(r queue.PurgeRequest) []string {
	names := []string{}
	for _, status := range r.Final() {
		names = append(names, string(status))
	}
	return names
}

// countPurgeableQuery adds up the counted periods that are old enough, and counts the
// rows of the one that is so in part, or those since counted_to, by their index:
// claimcheck_tasks_finished. Of all these it subtracts what is kept for longer, by
// claimcheck_tasks_retention, and, by claimcheck_tasks_unique, what holds its key for longer.
var countPurgeableQuery = `
WITH ` + counted + `, edge AS MATERIALIZED (
	SELECT coalesce((SELECT CASE WHEN until >= counted_to THEN counted_to ELSE (SELECT max(at) FROM claimcheck_periods WHERE at <= until) END FROM counted), '-infinity') AS at, until
	FROM (SELECT now() - $2::interval AS until) AS bound
)
SELECT (
	SELECT coalesce(sum(n), 0) FROM unnest($1::text[]) AS final(status), LATERAL (
		SELECT count(*) AS n FROM claimcheck_tasks AS t WHERE t.status = final.status
			AND finished_at >= (SELECT at FROM edge) AND finished_at <= (SELECT until FROM edge) AND ($3::text = '' OR task_path = $3::text)) AS rows
)::int8 + (
	SELECT coalesce(sum(n), 0) FROM claimcheck_periods
	WHERE at < (SELECT at FROM edge) AND status = ANY($1::text[]) AND ($3::text = '' OR task_path = $3::text) AND EXISTS (SELECT FROM counted)
)::int8 + (
	SELECT coalesce(sum(n), 0) FROM claimcheck_changes
	WHERE at < (SELECT at FROM edge) AND status = ANY($1::text[]) AND ($3::text = '' OR task_path = $3::text) AND EXISTS (SELECT FROM counted)
)::int8 - (
	SELECT count(*) FROM claimcheck_tasks
	WHERE ` + deletable + ` AND ` + retentionAt + ` > now() AND status = ANY($1::text[]) AND finished_at <= (SELECT until FROM edge) AND ($3::text = '' OR task_path = $3::text)
) - (
	SELECT count(*) FROM claimcheck_tasks
	WHERE unique_scope = 2 AND unique_until > now() AND (delete_at IS NULL OR delete_at <= now())
		AND status = ANY($1::text[]) AND finished_at <= (SELECT until FROM edge) AND ($3::text = '' OR task_path = $3::text)
)`

// CountPurgeable returns the number of rows that Purge would delete in all.
func (s *Store) CountPurgeable(ctx context.Context, r queue.PurgeRequest) (n int, err error) {
	err = s.on(ctx, "count tasks to purge", func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, countPurgeableQuery, finalNames(r), r.Age, r.Task).Scan(&n)
	})
	return n, err
}
