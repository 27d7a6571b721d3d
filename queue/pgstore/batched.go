package pgstore

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
	"github.com/claimcheck-go/claimcheck/queue/pgstore/internal/batch"
)

// The batched statements serve many callers at once. Each serves the rows that need
// no special treatment. Any other row, or one that is locked, is left to a statement
// of its own, which may retry and returns why it was refused. None of them waits for
// the lock of a row, so that two do not deadlock.

// insertMany stores rows of different callers in one statement.
func (s *Store) insertMany(ctx context.Context, rows []*queue.NewRow) ([]batch.Result[inserted], error) {
	if !slices.ContainsFunc(rows, func(row *queue.NewRow) bool { return !isPlain(row) }) {
		return s.insertPlain(ctx, rows)
	}
	answers := make([]batch.Result[inserted], len(rows))
	err := s.on(ctx, "insert tasks", func(conn *pgx.Conn) error {
		stored := make(map[uuid.UUID]*queue.Row, len(rows))
		if err := insertNew(ctx, conn, rows, stored, insertExtrasQuery); err != nil {
			return err
		}
		for i, row := range rows {
			// The second time that a batch contains an ID, its row exists.
			if stored[row.ID] != nil {
				answers[i] = batch.Result[inserted]{Answer: inserted{row: stored[row.ID]}, Served: true}
				delete(stored, row.ID)
			}
		}
		return nil
	})
	return answers, err
}

// claimManyQuery returns the numbers of the claims that it made, counted from 1. It finds
// rows as finishManyQuery does. Of several claims on one row it makes the first.
func claimManyQuery(gates string) string {
	return `
WITH free AS MATERIALIZED (
	SELECT t.place, t.durable, c.fence, c.number FROM unnest($5::uuid[], $6::uuid[]) WITH ORDINALITY AS c(task, fence, number),
		LATERAL (SELECT ctid AS place, ` + durable + ` AS durable FROM claimcheck_tasks WHERE id = c.task AND claim_id IS DISTINCT FROM c.fence AND ` + claimable(gates, `$3::text[]`, `$4::interval`, ``) + ` FOR UPDATE SKIP LOCKED) AS t
)
UPDATE claimcheck_tasks SET ` + setClaimed + `, claim_id = free.fence
FROM free WHERE claimcheck_tasks.ctid = free.place AND (SELECT true FROM free HAVING ` + haveRows + `)
RETURNING free.number, ` + claimedColumns
}

// claimMany claims rows for different callers in one statement, if their requests are
// alike.
func (s *Store) claimMany(ctx context.Context, claims []claimOf) ([]batch.Result[*queue.Row], error) {
	first := claims[0].ClaimRequest
	ids, fences := make([]pgtype.UUID, len(claims)), make([]pgtype.UUID, len(claims))
	for i, c := range claims {
		if alike(c.ClaimRequest, first) { // else it stays NULL, which no row has
			ids[i], fences[i] = uuidValue(c.id), uuidValue(c.ClaimID)
		}
	}
	answers := make([]batch.Result[*queue.Row], len(claims))
	err := s.on(ctx, "claim tasks", func(conn *pgx.Conn) error {
		var number int
		result, err := conn.Query(ctx, s.claimTexts().many, first.Worker, first.Lease, knows(first.Tasks, first.Keys), first.Early, ids, fences)
		return eachClaimed(ctx, conn, result, err, func(r *scanned) *queue.Row {
			row := r.claimed(claims[number-1].ClaimID, first.Lease)
			answers[number-1] = batch.Result[*queue.Row]{Answer: row, Served: true}
			return row
		}, &number)
	})
	if err != nil && ctx.Err() != nil {
		err = storekit.Outage("claim tasks: "+queue.ErrNoAnswer.Error()+": "+s.where(), queue.ErrNoAnswer, nil)
	}
	return answers, err
}

// alike reports whether two claims may share a statement.
func alike(a, b queue.ClaimRequest) bool {
	return a.Worker == b.Worker && a.Lease == b.Lease && a.Early == b.Early && slices.Equal(a.Tasks, b.Tasks) && slices.Equal(a.Keys, b.Keys)
}

// finishManyQuery returns the numbers of the finishes that it applied, counted from 1. It
// finds each row by the primary key, locks it, and updates it where it lies: one that
// changed after the statement began does not lie there, and is left to a statement of its
// own. Of several ends of one claim it applies the first. The arrays of errors and of
// reports are empty if there are none: the shorter arrays continue with NULL.
// finishManyPlainQuery stores no reports, and leaves rows with queue.Keep or a checkpoint to
// finishManyQuery.
var (
	finishManyQuery = finishManyWhere(`, $8::int8[], $9::int8[], $10::text[]`, `, done, total, said`, `true`,
		setFinishedKept("ended", "value", "history", "error", "message")+`, `+setReported(`held.done`, `held.total`, `held.said`))
	finishManyPlainQuery = finishManyWhere(``, ``, notKept, setFinished("ended", "value", "history", "error", "message"))
)

// finishManyWhere is the statement for these rows, with further parameters and their names.
func finishManyWhere(params, names, rows, set string) string {
	return `
WITH held AS MATERIALIZED (
	SELECT t.place, c.* FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[]` + params + `) WITH ORDINALITY
			AS c(wanted, fence, ended, value, history, error, message` + names + `, number),
		LATERAL (SELECT ctid AS place FROM claimcheck_tasks WHERE id = c.wanted AND ` + isRunning + ` AND ` + rows + ` AND claim_id = c.fence FOR UPDATE SKIP LOCKED) AS t
)
UPDATE claimcheck_tasks SET ` + set + `
FROM held WHERE claimcheck_tasks.ctid = held.place
RETURNING held.number, finished_at`
}

// finishMany ends claims of different callers in one statement.
func (s *Store) finishMany(ctx context.Context, finishes []finishOf) ([]batch.Result[time.Time], error) {
	values, err := finishValues(finishes)
	if err != nil {
		return nil, err
	}
	query := finishManyPlainQuery
	if slices.ContainsFunc(finishes, func(f finishOf) bool { return !f.plain() }) {
		query = finishManyQuery
		values = append(values, reportsOf(finishes)...)
	}
	answers := make([]batch.Result[time.Time], len(finishes))
	err = s.with(ctx, "finish tasks", use{urgent: true}, func(conn *pgx.Conn) error {
		result, err := conn.Query(ctx, query, values...)
		if err != nil {
			return err
		}
		var number int
		var at time.Time
		_, err = pgx.ForEachRow(result, []any{&number, (*moment)(&at)}, func() error {
			answers[number-1] = batch.Result[time.Time]{Answer: at, Served: true}
			return nil
		})
		return err
	})
	return answers, err
}

// reportsOf returns the parameters that only finishManyQuery has.
func reportsOf(finishes []finishOf) []any {
	reports := newReportColumns()
	for i, f := range finishes {
		if f.Report != nil {
			reports.set(i, f.Report)
		}
	}
	return []any{reports.done, reports.total, reports.note}
}

// finishValues returns the parameters of finishManyPlainQuery.
func finishValues(finishes []finishOf) ([]any, error) {
	n := len(finishes)
	ids, fences, ended, values := make([]pgtype.UUID, n), make([]pgtype.UUID, n), make([]string, n), make([]pgtype.Text, n)
	lists, groups, texts := []pgtype.Text{}, []pgtype.Text{}, []pgtype.Text{}
	for i, f := range finishes {
		ids[i], fences[i], ended[i], values[i] = uuidValue(f.ID), uuidValue(f.ClaimID), string(f.Status), jsonValue(f.ReturnValue)
		if f.Errors == nil {
			continue
		}
		history, err := errorsValue(f.Errors)
		if err != nil {
			return nil, err
		}
		without := make([]pgtype.Text, i-len(lists)) // the finishes before it
		lists = append(append(lists, without...), history.list)
		groups = append(append(groups, without...), history.group)
		texts = append(append(texts, without...), history.text)
	}
	return []any{ids, fences, ended, values, lists, groups, texts}, nil
}
