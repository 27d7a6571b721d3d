package pgstore

import (
	"context"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// unheld reports whether the first rows that could be claimed are such that a limit
// concerns. Without limits it reads none of them. Index: claimcheck_tasks_claim.
var unheld = `CASE WHEN ` + limitsExist + ` THEN EXISTS (SELECT FROM (` + firstFree(strconv.Itoa(storekit.UnheldWindow)) + `) AS first WHERE ` + notPaused + ` AND ` + limited + `) ELSE false END`

// firstFree are the first rows in the order of claims, whatever keeps them from it.
func firstFree(limit string) string {
	return `SELECT id, backend_name, queue_name, task_path, limit_key FROM claimcheck_tasks WHERE hold = 0 ORDER BY priority DESC, enqueued_at, id LIMIT ` + limit
}

// lockedLimits are the limits that no transaction is changing; none changes them before
// the end of the statement. So a limit that was removed has no new rows waiting for it.
const lockedLimits = `g AS MATERIALIZED (SELECT kind, name FROM claimcheck_gates WHERE ` + isLimit + ` FOR SHARE SKIP LOCKED)`

// byLockedLimits is limited for these. It is a condition on the row alone, so that it holds
// for the row as it was locked.
const byLockedLimits = `(queue_name = ANY(ARRAY(SELECT name FROM g WHERE kind = 'queue')) OR task_path = ANY(ARRAY(SELECT name FROM g WHERE kind = 'name'))
	OR limit_key IS NOT NULL AND (limit_key = ANY(ARRAY(SELECT name FROM g WHERE kind = 'name')) OR task_path = ANY(ARRAY(SELECT name FROM g WHERE kind = 'each'))))`

// holdLimitedQuery: indexes: claimcheck_tasks_claim, then the primary key.
var holdLimitedQuery = `
WITH ` + lockedLimits + `
UPDATE claimcheck_tasks SET hold = 3
WHERE id = ANY(ARRAY(SELECT id FROM claimcheck_tasks WHERE hold = 0 AND ` + byLockedLimits + ` AND id = ANY(ARRAY(
	SELECT id FROM (` + firstFree(`$2::int8`) + `) AS first WHERE backend_name = ANY($1::text[]) AND ` + notPaused + ` AND ` + byLockedLimits + `)) FOR UPDATE SKIP LOCKED))`

// HoldLimited makes rows wait for the limits that concern them.
func (s *Store) HoldLimited(ctx context.Context, backends []string, limit int) (n int, err error) {
	err = s.on(ctx, "hold limited tasks", func(conn *pgx.Conn) error {
		n, err = count(conn.Exec(ctx, holdLimitedQuery, append([]string{}, backends...), limit))
		return err
	})
	return n, err
}
