package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
)

// purgeable selects the rows with status s that may be deleted.
const purgeable = `FROM claimcheck_tasks WHERE status = s AND finished_at <= now() - $2::interval AND ($3::text = '' OR task_path = $3::text)
			AND (delete_at IS NULL OR delete_at <= now()) AND (unique_until IS NULL OR unique_until <= now())`

// purgeQuery locks the first rows of each status and deletes the first of all these.
// Only locked rows are certain to exist when they are deleted, and deleting fewer than
// the limit must mean that no more are left.
// Index: claimcheck_tasks_finished, from the start of each status and in its
// order; then the primary key (= ANY of an array is never planned as a scan).
const purgeQuery = `
DELETE FROM claimcheck_tasks
WHERE id = ANY(ARRAY(
	SELECT first.id FROM unnest($1::text[]) AS s, LATERAL (
		SELECT id, finished_at ` + purgeable + `
		ORDER BY finished_at
		LIMIT $4::int8 FOR UPDATE SKIP LOCKED) AS first
	ORDER BY first.finished_at
	LIMIT $4::int8))`

// Purge deletes at most r.Limit final rows, those that finished first.
func (s *Store) Purge(ctx context.Context, r queue.PurgeRequest) (deleted int, err error) {
	statuses := finalNames(r)
	if len(statuses) == 0 || r.Limit < 1 {
		return 0, nil
	}
	err = s.on(ctx, "purge tasks", func(conn *pgx.Conn) error {
		deleted, err = count(conn.Exec(ctx, purgeQuery, statuses, r.Age, r.Task, r.Limit))
		return err
	})
	return deleted, err
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
