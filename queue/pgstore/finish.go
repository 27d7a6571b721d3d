package pgstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
	"github.com/claimcheck-go/claimcheck/queue/pgstore/internal/batch"
)

// The status of a row that is found by its ID is compared in this way, so that the
// planner does not consider an index on the rows of that status: there are few at a
// time, and its statistics say that there are none.
const (
	isReady   = `status || '' = 'READY'`
	isRunning = `status || '' = 'RUNNING'`
)

// The fence: a claim ends only while it is held. underClaim waits for a row that is
// locked, as a caller's transaction may; underFreeClaim skips it.
const (
	holds      = `id = $1::uuid AND ` + isRunning + ` AND claim_id = $2::uuid`
	underClaim = ` WHERE ` + holds
)

var underFreeClaim = ` WHERE id = ` + freeRow(holds)

// missed returns why a statement under the fence changed nothing: no error if the row
// shows that the same call took effect before, queue.ErrLocked if the claim is still
// held, else queue.ErrLeaseLost.
func missed(ctx context.Context, q querier, claim queue.Claim, done func(queue.Status) bool) (*queue.Row, error) {
	row, _, err := load(ctx, q, claim.ID)
	held := err == nil && row.ClaimID == claim.ClaimID && claim.ClaimID != uuid.Nil
	switch {
	case held && done(row.Status):
		return row, nil
	case held && row.Status == queue.StatusRunning:
		return nil, fmt.Errorf("task %s: %w", claim.ID, queue.ErrLocked)
	}
	if err == nil || errors.Is(err, queue.ErrNotFound) {
		err = queue.ErrLeaseLost
	}
	return nil, err
}

// setErrors sets the error history: NULL leaves it unchanged, an empty list removes
// it.
func setErrors(history, group, text string) string {
	return fmt.Sprintf(`errors = CASE WHEN %[1]s = '[]' THEN NULL ELSE coalesce(%[1]s::json, errors) END,
	error_group = nullif(coalesce(%[2]s, error_group), ''), error_text = nullif(coalesce(%[3]s, error_text), '')`, history, group, text)
}

// notKept is the condition of the rows without queue.Keep and without a checkpoint:
// setting what these require costs the others a tenth of their finish.
const notKept = `keep_successful IS NULL AND checkpoint IS NULL`

// setFinished ends a claim with these values, of a row for which notKept holds.
func setFinished(status, value, history, group, text string) string {
	return fmt.Sprintf(`status = %s, return_value = %s::json, finished_at = now(), lease_expires_at = NULL, `, status, value) + setErrors(history, group, text)
}

// setFinishedKept is setFinished of any row.
func setFinishedKept(status, value, history, group, text string) string {
	return fmt.Sprintf(`status = %s, return_value = %s, finished_at = now(), lease_expires_at = NULL, `, status, keptValue(status, value+`::json`)) +
		setKept(status) + `, ` + setErrors(history, group, text)
}

// finishQuery is Finish, finishTxQuery FinishTx; finishPlainQuery stores no report, and
// leaves rows with queue.Keep or a checkpoint to finishQuery. Index: the primary key.
var (
	finishQuery      = finishSettingAll() + underFreeClaim + returnFinished
	finishTxQuery    = finishSettingAll() + underClaim + returnFinished
	finishPlainQuery = finishSetting(setFinished) + ` WHERE id = ` + freeRow(holds+` AND `+notKept) + returnFinished
)

const returnFinished = `
RETURNING finished_at`

func finishSetting(set func(status, value, history, group, text string) string) string {
	return `
UPDATE claimcheck_tasks SET ` + set(`$3::text`, `$4::text`, `$5::text`, `$6::text`, `$7::text`)
}

// finishSettingAll is finishSetting of any row, with a report.
func finishSettingAll() string {
	return finishSetting(setFinishedKept) + `, ` + setReported(`$8::int8`, `$9::int8`, `$10::text`)
}

// finishOf is the request to end a claim.
type finishOf struct {
	queue.Claim
	queue.Finish
}

// plain reports whether finishPlainQuery and finishManyPlainQuery may serve the request.
func (f finishOf) plain() bool { return !f.Kept && f.Report == nil }

// Finish ends a claim with a final status, and returns the time.
func (s *Store) Finish(ctx context.Context, claim queue.Claim, f queue.Finish) (time.Time, error) {
	if f.Letter != nil { // no statement for many inserts a row
		return s.finishOne(ctx, finishOf{claim, f})
	}
	return s.finishes.Do(ctx, finishOf{claim, f})
}

// FinishAsync is Finish without a caller that waits: it calls done once, on another
// goroutine. done must not block.
func (s *Store) FinishAsync(claim queue.Claim, f queue.Finish, done func(time.Time, error)) {
	s.finishes.Go(finishOf{claim, f}, done)
}

func (s *Store) finishOne(ctx context.Context, f finishOf) (at time.Time, err error) {
	err = storekit.RetryLocked(ctx, storekit.FinishPatience, func() error {
		return s.with(ctx, "finish task", use{urgent: true}, func(conn *pgx.Conn) error {
			if f.Letter == nil {
				at, err = finish(ctx, conn, finishQuery, f.Claim, f.Finish)
				return err
			}
			return atomically(ctx, conn, func(q querier) error {
				at, err = finish(ctx, q, finishQuery, f.Claim, f.Finish)
				return err
			})
		})
	})
	return at, err
}

// atomically runs do in a transaction: in that of the connection, if it is in one.
func atomically(ctx context.Context, conn *pgx.Conn, do func(q querier) error) error {
	const idle = 'I'
	if conn.PgConn().TxStatus() != idle {
		return do(conn)
	}
	return pgx.BeginTxFunc(ctx, conn, readCommitted, func(tx pgx.Tx) error { return do(tx) })
}

// tryFinish ends a claim with one statement, which leaves a row that is locked or not
// held, or that has a queue.Keep which the caller did not expect, to finishOne.
func (s *Store) tryFinish(ctx context.Context, f finishOf) (result batch.Result[time.Time], err error) {
	err = s.with(ctx, "finish task", use{urgent: true}, func(conn *pgx.Conn) error {
		query := finishPlainQuery
		if !f.plain() {
			query = finishQuery
		}
		result.Answer, err = finishHeld(ctx, conn, query, f.Claim, f.Finish)
		if result.Served = err == nil; errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return result, err
}

// finishHeld ends a claim that is held. Otherwise the error is pgx.ErrNoRows.
func finishHeld(ctx context.Context, q querier, query string, claim queue.Claim, f queue.Finish) (at time.Time, err error) {
	history, err := errorsValue(f.Errors)
	if err != nil {
		return at, err
	}
	args := []any{uuidValue(claim.ID), uuidValue(claim.ClaimID), string(f.Status), jsonValue(f.ReturnValue), history.list, history.group, history.text}
	if query != finishPlainQuery {
		v := reportValue(f.Report)
		args = append(args, v.done, v.total, v.note)
	}
	err = q.QueryRow(ctx, query, args...).Scan((*moment)(&at))
	return at, err
}

func finish(ctx context.Context, q querier, query string, claim queue.Claim, f queue.Finish) (at time.Time, err error) {
	at, err = finishHeld(ctx, q, query, claim, f)
	if err == nil && f.Letter != nil {
		stored, err := insert(ctx, q, []*queue.NewRow{f.Letter})
		return at, copyBack([]*queue.NewRow{f.Letter}, err, stored...)
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return at, err
	}
	// Only the same end is a repetition of this call: a row that CompleteTx made
	// SUCCESSFUL has not FAILED, though it is final under the same claim.
	row, err := missed(ctx, q, claim, func(status queue.Status) bool { return status == f.Status })
	if err == nil {
		at = row.FinishedAt
	}
	return at, err
}

// refundIf undoes the count of the attempt where a condition is true. The row has been
// started nevertheless, so that it does not expire any more.
func refundIf(condition string) string {
	return fmt.Sprintf(`attempts = attempts - CASE WHEN %[1]s THEN 1 ELSE 0 END,
	worker_ids = CASE WHEN %[1]s THEN worker_ids[:cardinality(worker_ids) - 1] ELSE worker_ids END`, condition)
}

// neverBegan is the condition of claimed rows whose function has not begun under an
// earlier claim either.
const neverBegan = `attempts = 1 AND started_at = last_attempted_at`

// The row's run_after and its retry_at after a retry.
const (
	nextHard = `coalesce($5::timestamptz, now() + nullif($6::int8, 0) * interval '1 microsecond', run_after)`
	nextSoft = `CASE WHEN $4::int8 > 0 THEN greatest(now() + $4::int8 * interval '1 microsecond', ` + nextHard + `) END`
)

// retryQuery: index: the primary key.
var retryQuery = `
UPDATE claimcheck_tasks SET status = 'READY', lease_expires_at = NULL, ` + setErrors(`$3::text`, `$9::text`, `$10::text`) + `, run_after = ` + nextHard + `, retry_at = ` + nextSoft + `,
	hold = CASE WHEN coalesce(` + nextSoft + `, ` + nextHard + `) > now() THEN 1 ELSE 0 END,
	dispatch_due_at = CASE WHEN $7::bool THEN greatest(now() + ` + interval(queue.LongestBackoff) + `, ` + nextHard + `) + ` + interval(queue.DispatchGrace) + `
		ELSE greatest(now(), ` + nextHard + ` - ` + interval(queue.ArmWithin) + `) END,
	` + setReported(`$11::int8`, `$12::int8`, `$13::text`) + `, ` + setCheckpoint(`$14::text`, `$15::int8`) + `,
	` + refundIf(`$8::bool`) + underFreeClaim

// Retry ends a claim and makes the row READY again for a later attempt.
func (s *Store) Retry(ctx context.Context, claim queue.Claim, r queue.Retry) error {
	history, err := errorsValue(r.Errors)
	if err != nil {
		return err
	}
	report := reportValue(r.Report)
	return s.makeReady(ctx, "retry task", claim, retryQuery, history.list,
		max(r.In.Microseconds(), 0), timeValue(r.RunAfter), max(r.RunIn.Microseconds(), 0), r.WillDispatch, r.Refund, history.group, history.text,
		report.done, report.total, report.note, jsonValue(r.Checkpoint), r.MoreAttempts)
}

// releaseQuery: index: the primary key. A row without attempts left stays RUNNING with
// an expired lease, and Promote fails it.
var (
	releaseQuery       = releaseSetting + underFreeClaim
	releaseReportQuery = releaseSetting + `, ` + setReported(`$3::int8`, `$4::int8`, `$5::text`) + underFreeClaim
)

var releaseSetting = fmt.Sprintf(`
UPDATE claimcheck_tasks SET interruptions = interruptions + 1, %[1]s,
	status = CASE WHEN %[2]s THEN 'RUNNING' ELSE 'READY' END, lease_expires_at = CASE WHEN %[2]s THEN now() END,
	hold = CASE WHEN %[2]s THEN NULL WHEN run_after > now() THEN 1 ELSE 0 END,
	dispatch_due_at = now() + %[3]s`,
	refundIf(interrupted), `NOT (`+interrupted+`) AND attempts >= max_attempts`, interval(queue.DispatchGrace))

var interrupted = fmt.Sprintf(`interruptions < %d`, queue.MaxInterruptions)

// Release releases a claim whose function was interrupted.
func (s *Store) Release(ctx context.Context, claim queue.Claim) error {
	return s.makeReady(ctx, "release task", claim, releaseQuery)
}

// unclaimQuery skips locked rows, so that they delay neither the others nor the
// connection.
// Index: the primary key.
var unclaimQuery = `
WITH held AS MATERIALIZED (
	SELECT t.id AS task, c.fence FROM unnest($1::uuid[], $2::uuid[]) AS c(wanted, fence),
		LATERAL (SELECT id FROM claimcheck_tasks WHERE id = c.wanted AND ` + isRunning + ` AND claim_id = c.fence FOR UPDATE SKIP LOCKED) AS t
)
UPDATE claimcheck_tasks SET status = 'READY', lease_expires_at = NULL, hold = CASE WHEN run_after > now() THEN 1 ELSE 0 END,
	last_attempted_at = CASE WHEN ` + neverBegan + ` THEN NULL ELSE last_attempted_at END, started_at = CASE WHEN ` + neverBegan + ` THEN NULL ELSE started_at END,
	dispatch_due_at = now() + ` + interval(queue.DispatchGrace) + `, ` + refundIf(`true`) + `
FROM held WHERE id = held.task
RETURNING id, held.fence`

// Unclaim undoes claims whose functions never began. It retries rows that another
// transaction has locked; if they stay locked, the error is queue.ErrLocked, and the
// other claims are undone.
func (s *Store) Unclaim(ctx context.Context, claims ...queue.Claim) error {
	left := slices.Clone(claims)
	slices.SortFunc(left, func(a, b queue.Claim) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	defer s.hints.forget()
	return storekit.RetryLocked(ctx, storekit.FinishPatience, func() error {
		if len(left) == 0 {
			return nil
		}
		var locked []queue.Claim
		err := s.with(ctx, "unclaim tasks", use{urgent: true}, func(conn *pgx.Conn) (err error) {
			locked, err = unclaim(ctx, conn, left)
			return err
		})
		if err != nil {
			return err
		}
		if left = locked; len(left) > 0 {
			return fmt.Errorf("unclaim %d tasks, the first of them %s: %w", len(left), left[0].ID, queue.ErrLocked)
		}
		return nil
	})
}

// unclaim undoes claims, and returns those that are still held because their rows are
// locked.
func unclaim(ctx context.Context, q querier, claims []queue.Claim) (locked []queue.Claim, err error) {
	ids, fences := claimValues(claims)
	done, err := claimSet(q.Query(ctx, unclaimQuery, ids, fences))
	if err != nil {
		return nil, err
	}
	_, rest := split(claims, done)
	locked, _, err = stillHeld(ctx, q, rest)
	return locked, err
}

// noteErrorsQuery: index: the primary key.
var noteErrorsQuery = `
UPDATE claimcheck_tasks SET ` + setErrors(`$3::text`, `$4::text`, `$5::text`) + underFreeClaim

// NoteErrors stores the error history of a row that stays RUNNING.
func (s *Store) NoteErrors(ctx context.Context, claim queue.Claim, history []queue.AttemptError) error {
	values, err := errorsValue(append([]queue.AttemptError{}, history...))
	if err != nil {
		return err
	}
	return s.changeClaimed(ctx, "note errors", claim, func(queue.Status) bool { return false }, noteErrorsQuery, values.list, values.group, values.text)
}

// makeReady runs a statement that makes a claimed row READY again.
func (s *Store) makeReady(ctx context.Context, op string, claim queue.Claim, query string, args ...any) error {
	defer s.hints.forget()
	return s.changeClaimed(ctx, op, claim, func(status queue.Status) bool { return status == queue.StatusReady }, query, args...)
}

// changeClaimed runs a statement on a row that is not locked, under its claim. done is
// as in missed.
func (s *Store) changeClaimed(ctx context.Context, op string, claim queue.Claim, done func(queue.Status) bool, query string, args ...any) error {
	return storekit.RetryLocked(ctx, storekit.FinishPatience, func() error {
		return s.with(ctx, op, use{urgent: true}, func(conn *pgx.Conn) error {
			tag, err := conn.Exec(ctx, query, append([]any{uuidValue(claim.ID), uuidValue(claim.ClaimID)}, args...)...)
			if err == nil && tag.RowsAffected() == 0 {
				_, err = missed(ctx, conn, claim, done)
			}
			return err
		})
	})
}
