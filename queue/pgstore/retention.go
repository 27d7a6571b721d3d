package pgstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
)

// keepOf is for how many seconds a row is kept that ends with a status, which is SQL;
// NULL without queue.Keep.
func keepOf(status string) string {
	return `CASE WHEN ` + status + ` = 'FAILED' THEN keep_failed ELSE keep_successful END`
}

// ticketAt is queue.Row's ticketAt: the time for which the row has been dispatched.
var ticketAt = `CASE WHEN run_after <= now() + ` + interval(queue.ArmWithin) + ` THEN run_after END`

// keepTicket is queue.Row.KeepTicket, for a change of run_after.
var keepTicket = `delete_at = CASE WHEN keep_successful IS NOT NULL THEN greatest(delete_at, ` + ticketAt + `) END`

// setKept is what every end of a row sets: queue.Row.KeptUntil, arguments that are dropped,
// and no checkpoint unless it is FAILED and may be retried. Rows without queue.Keep pay for the first conditions only.
func setKept(status string) string { return setKeptSince(`now()`, status) }

// setKeptSince is setKept of a row that ended at a time, which is SQL.
func setKeptSince(ended, status string) string {
	return `delete_at = CASE WHEN keep_successful IS NOT NULL THEN greatest(` + ended + ` + (` + keepOf(status) + `) * interval '1 second',
		greatest(` + ended + `, delete_at, ` + ticketAt + `) + ` + interval(queue.KeptForRepeats) + `, unique_until) END,
	args = CASE WHEN keep_successful IS NOT NULL AND ` + keepOf(status) + ` = 0
		THEN to_json('dropped sha256:' || encode(sha256(convert_to(args::text, 'UTF8')), 'hex')) ELSE args END,
	checkpoint = CASE WHEN ` + status + ` <> 'FAILED' OR keep_successful IS NOT NULL AND ` + keepOf(status) + ` = 0 THEN NULL ELSE checkpoint END`
}

// keptValue is a return value that is dropped with the arguments.
func keptValue(status, value string) string {
	return `CASE WHEN keep_successful IS NOT NULL AND ` + keepOf(status) + ` = 0 THEN NULL ELSE ` + value + ` END`
}

// The expressions of the index claimcheck_tasks_retention. retentionKind is 1 for rows
// that never started, whose retentionAt is when they expire, and 0 for others, whose
// retentionAt is when they are deleted if they have ended by then, or when they ended if
// an old program has ended them, which does not set delete_at.
const (
	retentionKind = `(CASE WHEN status = 'READY' AND started_at IS NULL THEN 1 ELSE 0 END)`
	retentionAt   = `(CASE WHEN status = 'READY' AND started_at IS NULL THEN expires_at
		ELSE coalesce(delete_at, CASE WHEN keep_successful IS NOT NULL THEN finished_at END) END)`
	hasRetention = `(expires_at IS NOT NULL OR delete_at IS NOT NULL OR keep_successful IS NOT NULL AND finished_at IS NOT NULL)`

	expiring  = hasRetention + ` AND ` + retentionKind + ` = 1 AND ` + retentionAt + ` IS NOT NULL`
	deletable = hasRetention + ` AND ` + retentionKind + ` = 0 AND ` + retentionAt + ` IS NOT NULL AND status IN ('SUCCESSFUL', 'FAILED', 'CANCELLED')`
)

// firstRetained is the time of the first of these rows, for probeQuery.
func firstRetained(rows string) string {
	return `(SELECT ` + retentionAt + ` FROM claimcheck_tasks WHERE ` + rows + ` ORDER BY ` + retentionAt + ` LIMIT 1)`
}

// dueRetained selects columns of those of these rows whose time has come, up to $1.
func dueRetained(columns, rows string) string {
	return `
	SELECT ` + columns + ` FROM claimcheck_tasks WHERE ` + rows + ` AND ` + retentionAt + ` <= now()
	ORDER BY ` + retentionAt + `
	LIMIT $1::int8 FOR UPDATE SKIP LOCKED`
}

// deleteKeptQuery also sets the delete_at of rows that an old program has ended. Index:
// claimcheck_tasks_retention, then the primary key.
var deleteKeptQuery = `
WITH due AS MATERIALIZED (` + dueRetained(`id, delete_at`, deletable) + `),
set AS (UPDATE claimcheck_tasks SET ` + setKeptSince(`finished_at`, `status`) + `, return_value = ` + keptValue(`status`, `return_value`) + `
	WHERE id = ANY(ARRAY(SELECT id FROM due WHERE delete_at IS NULL)) RETURNING 1),
deleted AS (DELETE FROM claimcheck_tasks WHERE id = ANY(ARRAY(SELECT id FROM due WHERE delete_at IS NOT NULL)) RETURNING 1)
SELECT (SELECT count(*) FROM set), (SELECT count(*) FROM deleted)`

// DeleteKept deletes at most limit ended rows whose Keep is over.
func (s *Store) DeleteKept(ctx context.Context, limit int) (deleted int, err error) {
	for set := limit; err == nil && set > 0 && deleted < limit; { // those may be due now
		n := 0
		err = s.on(ctx, "delete tasks", func(conn *pgx.Conn) error {
			return conn.QueryRow(ctx, deleteKeptQuery, limit-deleted).Scan(&set, &n)
		})
		deleted += n
	}
	return deleted, err
}

// mayStart is the condition of READY rows that have not expired.
const mayStart = `(expires_at IS NULL OR expires_at > now() OR started_at IS NOT NULL)`

// mayStartOf is mayStart of a row of that name.
func mayStartOf(row string) string {
	return strings.NewReplacer(`expires_at`, row+`.expires_at`, `started_at`, row+`.started_at`).Replace(mayStart)
}

// setExpired is queue.Row.Expire. Its parameters are the error history and what lists
// need of it.
func setExpired(history, group, text int) string {
	return fmt.Sprintf(setCancelled()+`, errors = $%d::text::json, error_group = $%d::text, error_text = $%d::text`, history, group, text)
}

// expireQuery: index: claimcheck_tasks_retention, then the primary key.
var expireQuery = `
UPDATE claimcheck_tasks SET ` + setExpired(2, 3, 4) + `
WHERE id = ANY(ARRAY(` + dueRetained(`id`, expiring) + `))`

// expireDue cancels rows that have expired.
func expireDue(ctx context.Context, q querier, now time.Time, limit int) (int, error) {
	history, err := errorsValue(queue.ExpiredErrors(now))
	if err != nil {
		return 0, err
	}
	return count(q.Exec(ctx, expireQuery, limit, history.list, history.group, history.text))
}

// expireOneQuery: index: the primary key.
var expireOneQuery = `
UPDATE claimcheck_tasks SET ` + setExpired(2, 3, 4) + `
WHERE id = ` + freeRow(`id = $1::uuid AND `+isReady+` AND started_at IS NULL AND expires_at <= now()`) + `
RETURNING finished_at`

// expireOne cancels row, as it was read at now, because it has expired. It reports false
// if the row has changed since, or is locked.
func expireOne(ctx context.Context, conn *pgx.Conn, row *queue.Row, now time.Time) (bool, error) {
	all := queue.ExpiredErrors(now)
	history, err := errorsValue(all)
	if err != nil {
		return false, err
	}
	var at moment
	err = conn.QueryRow(ctx, expireOneQuery, uuidValue(row.ID), history.list, history.group, history.text).Scan(&at)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	row.Status, row.FinishedAt, row.ClaimID = queue.StatusCancelled, time.Time(at), uuid.Nil
	row.Errors, row.ErrorGroup, row.ErrorText = all, history.group.String, history.text.String
	return true, nil
}
