package pgstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
	"github.com/claimcheck-go/claimcheck/queue/pgstore/internal/batch"
)

// setClaimed gives a row to worker $1 for $2, under a new claim. Nothing can be appended to
// an array of two dimensions, which the executor treats as invalid (queue.Row.Invalid). It
// leaves max_attempts alone, whose change makes PostgreSQL look at the trigger
// claimcheck_claim_version.
const setClaimed = `status = 'RUNNING', hold = NULL,
	attempts = attempts + 1,
	worker_ids = CASE WHEN array_ndims(worker_ids) > 1 THEN worker_ids ELSE worker_ids || $1::text END, lease_expires_at = now() + $2::interval,
	started_at = coalesce(started_at, now()), last_attempted_at = now(),
	retry_at = NULL, dispatch_error = NULL, dispatch_tries = 0`

// claimable is the condition of the rows that a delivery may claim, whose task is one of
// tasks, and that may come early by so much. more is a further alternative.
func claimable(gates, tasks, early, more string) string {
	return `task_path = ANY(` + tasks + `) AND ` + hasKey(tasks) + ` AND ` + gates + `
	AND (status = 'READY' AND attempts < max_attempts AND (run_after IS NULL OR run_after <= now() + ` + early + `) AND ` + mayStart + `
		OR status = 'RUNNING' AND attempts < max_attempts AND lease_expires_at <= now()` + more + `)`
}

// freeRow selects and locks one row that no other transaction has locked: a statement
// on it never waits inside the database, where it would hold a connection.
func freeRow(condition string) string {
	return `(SELECT id FROM claimcheck_tasks WHERE ` + condition + ` FOR UPDATE SKIP LOCKED)`
}

// A claim does not wait for the disk: if the database crashes before the log of it is
// written, the row is as it was before, the fence refuses whatever its worker still
// sends, and a finish that is committed makes its claim durable, too. This does not
// hold for the last attempt of a row, which would run once more, nor for a FAILED row
// that an operator retries, which would be FAILED again. Such a claim is durable, and
// so is every claim that shares its statement.

// durable is the condition of the rows, as they are before the claim, whose claims
// wait for the disk.
const durable = `(status = 'FAILED' OR attempts + 1 >= max_attempts)`

// doNotWait makes the transaction's commit not wait for the disk. It never makes
// another setting stricter, and needs no privilege. It must be evaluated only after the
// rows to be claimed are known and locked.
const doNotWait = `set_config('synchronous_commit', 'off', true) = 'off'`

// haveRows is the condition on a group that there are rows, which have the column
// durable. It calls doNotWait, if it may.
const haveRows = `CASE bool_or(durable) WHEN true THEN true WHEN false THEN ` + doNotWait + ` END`

// claimTexts are the claims of rows that no limit concerns.
type claimTexts struct {
	// They never make the claim $6 a second time (queue.ClaimRequest.Spent). again claims
	// FAILED rows, too, which are then not to be deleted any more. Index: the primary key.
	one, again string
	many       string // index: the primary key
	// Both find their rows in claimcheck_tasks_claim, in its order, and then by their
	// places in the table (= ANY of an array is never planned as a scan of it).
	next, from claimStatement
	above      string
}

// plainClaims claim nothing at all while there are limits, and limitClaims nothing that a
// limit concerns. The latter read more of the gates.
var plainClaims, limitClaims = newClaimTexts(notGated), newClaimTexts(notLimited)

func newClaimTexts(gates string) *claimTexts {
	return &claimTexts{
		one: claimOneQuery(gates, ``, ``),
		again: claimOneQuery(gates, notEnded,
			` OR status = 'FAILED' AND keep_failed IS DISTINCT FROM 0 AND `+keyIsFree+waitingBriefly),
		many: claimManyQuery(gates), next: claimNextQuery(gates), from: claimFromQuery(gates), above: aboveQuery(gates),
	}
}

// claimTexts returns the texts for what was last seen of the limits. If that has changed,
// a delivery finds that out (whyNot), and so does the promotion after a pull.
func (s *Store) claimTexts() *claimTexts {
	if s.limits.Load() {
		return limitClaims
	}
	return plainClaims
}

// notEnded makes a FAILED row, which is claimed again, one that has not ended, has attempts
// left and no interruptions, and is not to be deleted.
const notEnded = `, max_attempts = greatest(max_attempts, attempts + 1), interruptions = CASE WHEN status = 'FAILED' THEN 0 ELSE interruptions END,
	finished_at = NULL, delete_at = CASE WHEN status = 'FAILED' THEN NULL ELSE delete_at END`

// claimOneQuery is the whole claim, also of rows for which more holds. set is what it sets
// besides.
func claimOneQuery(gates, set, more string) string {
	return `
UPDATE claimcheck_tasks SET ` + setClaimed + `, claim_id = $6::uuid` + set + `
WHERE id = (
	SELECT CASE WHEN durable THEN id WHEN ` + doNotWait + ` THEN id END
	FROM (SELECT id, ` + durable + ` AS durable FROM claimcheck_tasks
		WHERE id = $5::uuid AND claim_id IS DISTINCT FROM $6::uuid AND ` + claimable(gates, `$3::text[]`, `$4::interval`, more) + ` FOR UPDATE SKIP LOCKED) AS free)
RETURNING ` + claimedColumns
}

// claimOf is the request of a delivery for its row.
type claimOf struct {
	id uuid.UUID
	queue.ClaimRequest
}

// Claim claims one row by its ID, for a delivery.
func (s *Store) Claim(ctx context.Context, taskID uuid.UUID, req queue.ClaimRequest) (*queue.Row, error) {
	c := claimOf{taskID, req}
	if !req.AllowRetry {
		return s.claims.Do(ctx, c)
	}
	return s.claimOne(ctx, c) // a FAILED row may take its key again, which can fail
}

func (s *Store) claimOne(ctx context.Context, c claimOf) (row *queue.Row, err error) {
	taskID, req := c.id, c.ClaimRequest
	err = storekit.RetryLocked(ctx, storekit.ClaimPatience, func() error {
		err := s.on(ctx, "claim task", func(conn *pgx.Conn) error {
			if s.limits.Load() { // the batch did not claim it, probably because one concerns it
				if row, err = s.whyNot(ctx, conn, taskID, req); !errors.Is(err, queue.ErrLocked) {
					return err
				}
			}
			row, err = s.claimFree(ctx, conn, c)
			if !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
			row, err = s.whyNot(ctx, conn, taskID, req)
			return err
		})
		if isCode(err, pgerrcode.UniqueViolation) || c.AllowRetry && isCode(err, pgerrcode.LockNotAvailable) {
			// Another row has just taken the key, which the next try sees, or is taking it.
			return fmt.Errorf("claim task %s: %w", taskID, queue.ErrLocked)
		}
		return err
	})
	if concerns := (*limitConcerns)(nil); errors.As(err, &concerns) {
		row, err = s.claimLimitedOne(ctx, c, concerns)
	}
	if err != nil {
		return nil, err
	}
	return row, nil
}

// claimFree claims a row that is claimable and not locked. Otherwise the error is
// pgx.ErrNoRows.
func (s *Store) claimFree(ctx context.Context, conn *pgx.Conn, c claimOf) (*queue.Row, error) {
	query := s.claimTexts().one
	if c.AllowRetry {
		query = s.claimTexts().again
	}
	var r scanned
	err := conn.QueryRow(ctx, query, c.Worker, c.Lease, knows(c.Tasks, c.Keys), c.Early, uuidValue(c.id), uuidValue(c.ClaimID)).Scan(r.claimedFields()...)
	if err != nil {
		return nil, err
	}
	row := r.claimed(c.ClaimID, c.Lease)
	if r.more {
		err = loadClaimedExtras(ctx, conn, []*queue.Row{row})
	}
	return row, err
}

// tryClaim claims a row with one statement, which leaves a refusal and a locked row to
// claimOne.
func (s *Store) tryClaim(ctx context.Context, c claimOf) (result batch.Result[*queue.Row], err error) {
	err = s.on(ctx, "claim task", func(conn *pgx.Conn) error {
		result.Answer, err = s.claimFree(ctx, conn, c)
		if result.Served = err == nil; errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return result, err
}

// whyNot returns why a claim changed nothing: if the row as it was read could be
// claimed, it is locked, or the claim did not know that there are limits. It returns the row if an earlier request
// claimed it (queue.ClaimRequest.Holds).
func (s *Store) whyNot(ctx context.Context, conn *pgx.Conn, taskID uuid.UUID, req queue.ClaimRequest) (*queue.Row, error) {
	row, now, g, err := loadGated(ctx, conn, taskID)
	if err != nil {
		return nil, err
	}
	s.limits.Store(g.limited)
	if req.Holds(row) {
		return row, nil
	}
	locked := &queue.NotClaimedError{Reason: queue.ErrLocked, Row: row, Wait: storekit.LockedRetryAfter}
	refusal := queue.WhyNotClaimed(row, req, now)
	var end func(context.Context, *pgx.Conn, *queue.Row, time.Time) (bool, error)
	switch {
	case errors.Is(refusal, queue.ErrWorkerLost):
		end = loseWorker
	case errors.Is(refusal, queue.ErrExpired):
		end = expireOne
	}
	if end != nil {
		ended, err := end(ctx, conn, row, now)
		if err != nil {
			return nil, err
		}
		if !ended {
			return nil, locked
		}
		if row.Keep != nil { // what has been dropped, and when the row is deleted
			now, _, err := load(ctx, conn, taskID)
			if err != nil {
				return nil, err
			}
			*row = *now
		}
	}
	if storekit.MayBePaused(refusal) && g.paused[row.Queue] {
		if err := refusePaused(ctx, conn, row); err != nil {
			return nil, err
		}
	}
	if refusal != nil {
		return nil, refusal
	}
	holder, err := twin(ctx, conn, row)
	if err != nil {
		return nil, err
	}
	if holder != nil && holder.Expired(now) { // its key is free when it is cancelled
		if _, err := expireOne(ctx, conn, holder, now); err != nil {
			return nil, err
		}
		return nil, locked // the claim is repeated
	}
	if holder != nil {
		return nil, &queue.NotClaimedError{Reason: queue.ErrDuplicate, Row: row, Holder: holder}
	}
	if len(g.limits.Of(storekit.LaneOf(row))) > 0 {
		return nil, &limitConcerns{row, g.limits}
	}
	return nil, locked
}

// gatesOfTask are the gates that may concern a task. Indexes: the primary keys.
const gatesOfTask = `kind IN ('queue', 'name', 'each') AND name IN (
	SELECT unnest(ARRAY[queue_name, task_path, limit_key]) FROM claimcheck_tasks WHERE id = $1::uuid)`

// loadGated is load, with the gates that may concern the row.
func loadGated(ctx context.Context, conn *pgx.Conn, taskID uuid.UUID) (row *queue.Row, now time.Time, g gates, err error) {
	err = pipeline(ctx, conn, func(b *pgx.Batch) {
		b.Queue(loadQuery, uuidValue(taskID)).QueryRow(func(result pgx.Row) (err error) {
			row, now, err = loaded(result)
			return err
		})
		b.Queue(gatesOf+gatesOfTask, uuidValue(taskID)).Query(func(result pgx.Rows) (err error) {
			g, err = scanGates(result)
			return err
		})
		b.Queue(`SELECT ` + limitsExist).QueryRow(func(result pgx.Row) error { return result.Scan(&g.limited) })
	})
	return row, now, g, err
}

// loseWorkerQuery takes effect only on the row that was read. It clears the claim ID,
// so that the lost worker, if it comes back, does not mistake this end for its own. Index: the primary key.
var loseWorkerQuery = `
UPDATE claimcheck_tasks SET status = 'FAILED', hold = NULL, finished_at = now(), errors = $2::text::json, error_group = $7::text, error_text = $8::text,
	lease_expires_at = NULL, claim_id = NULL, ` + setKept(`'FAILED'`) + `
WHERE id = ` + freeRow(`id = $1::uuid AND status = $3::text AND attempts = $4::int8
	AND claim_id IS NOT DISTINCT FROM $5::uuid AND lease_expires_at IS NOT DISTINCT FROM $6::timestamptz`) + `
RETURNING finished_at`

// loseWorker fails row, as it was read at now, because its lease has expired
// with no attempt left. It reports false if the row has changed since, or is locked.
func loseWorker(ctx context.Context, conn *pgx.Conn, row *queue.Row, now time.Time) (lost bool, err error) {
	if row.OnFailed == nil {
		return setLost(ctx, conn, row, now)
	}
	err = atomically(ctx, conn, func(q querier) error {
		// The arguments, which may not have been read, before they are dropped.
		if err := q.QueryRow(ctx, `SELECT args FROM claimcheck_tasks WHERE id = $1::uuid`, uuidValue(row.ID)).Scan((*[]byte)(&row.Args)); err != nil {
			return err
		}
		if lost, err = setLost(ctx, q, row, now); err != nil || !lost {
			return err
		}
		_, err := insert(ctx, q, []*queue.NewRow{row.Letter()})
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) { // it was deleted
		return false, nil
	}
	return lost, err
}

// setLost is loseWorker without what the failure enqueues.
func setLost(ctx context.Context, q querier, row *queue.Row, now time.Time) (bool, error) {
	all := row.LostErrors(now)
	history, err := errorsValue(all)
	if err != nil {
		return false, err
	}
	var at moment
	err = q.QueryRow(ctx, loseWorkerQuery, uuidValue(row.ID), history.list, string(row.Status), row.Attempts, uuidValue(row.ClaimID), timeValue(row.LeaseExpiresAt), history.group, history.text).Scan(&at)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	row.Status, row.FinishedAt, row.LeaseExpiresAt, row.ClaimID = queue.StatusFailed, time.Time(at), time.Time{}, uuid.Nil
	row.Errors, row.ErrorGroup, row.ErrorText = all, history.group.String, history.text.String
	return true, nil
}
