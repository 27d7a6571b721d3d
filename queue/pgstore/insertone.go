package pgstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore/internal/batch"
)

// insertOne stores one row.
func (s *Store) insertOne(ctx context.Context, row *queue.NewRow) (stored inserted, err error) {
	err = s.on(ctx, "insert tasks", func(conn *pgx.Conn) error {
		if !row.HasExtras() { // else the statement for several rows stores it
			var t times
			err := conn.QueryRow(ctx, insertOneQuery, uuidValue(row.ID), row.Task, row.Queue, row.Backend, row.Priority, string(row.Args),
				row.MaxAttempts, row.WillDispatch, timeValue(row.RunAfter), delayMicros(row), timeoutMillis(row.Row), row.TraceContext).Scan(t.fields()...)
			if err == nil {
				stored = inserted{row: t.row(row)}
			}
			if !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
		}
		all, err := insert(ctx, conn, []*queue.NewRow{row})
		if err == nil {
			stored = all[0]
		}
		return err
	})
	return stored, err
}

// insertAgain is insertOne for a row that a batched statement may have stored before
// its answer was lost. The ID was made for this call, so that a row that exists
// belongs to this call, and is new.
func (s *Store) insertAgain(ctx context.Context, row *queue.NewRow) (inserted, error) {
	stored, err := s.insertOne(ctx, row)
	stored.existed = false
	return stored, err
}

// plainInsertQuery stores a row for which isPlain holds, and of which timesAt computes
// what insertFrom computes. It takes about a fifth less of the database's CPU than
// insertOneQuery, which looks for a row with the same ID first and has more parameters
// and results. A row that exists is an error.
var plainInsertQuery = fmt.Sprintf(`
INSERT INTO claimcheck_tasks (id, task_path, queue_name, backend_name, priority, status, hold, args, enqueued_at, max_attempts, dispatch_due_at)
VALUES ($1::uuid, $2::text, $3::text, $4::text, $5::int8, 'READY', 0, $6::json, now(), $7::int8, CASE WHEN $8::bool THEN now() + %s ELSE now() END)
RETURNING enqueued_at`, interval(queue.DispatchGrace))

// isPlain reports whether a row is claimable at once and has no optional column.
func isPlain(row *queue.NewRow) bool {
	return row.RunAfter.IsZero() && delayMicros(row) == 0 && timeoutMillis(row.Row) == 0 && row.TraceContext == "" && !row.HasExtras()
}

// tryInsert stores a new row with the cheapest statement, which leaves a row that exists
// to insertOne.
func (s *Store) tryInsert(ctx context.Context, row *queue.NewRow) (result batch.Result[inserted], err error) {
	if !isPlain(row) {
		result.Answer, err = s.insertOne(ctx, row)
		result.Served = err == nil
		return result, err
	}
	err = s.on(ctx, "insert tasks", func(conn *pgx.Conn) error {
		var now time.Time
		err := conn.QueryRow(ctx, plainInsertQuery, uuidValue(row.ID), row.Task, row.Queue, row.Backend, row.Priority, string(row.Args),
			row.MaxAttempts, row.WillDispatch).Scan((*moment)(&now))
		if err == nil {
			t := timesAt(now, row)
			result = batch.Result[inserted]{Answer: inserted{row: t.row(row)}, Served: true}
		}
		return err
	})
	if isCode(err, pgerrcode.UniqueViolation) || errors.Is(err, pgx.ErrNoRows) {
		return batch.Result[inserted]{}, nil
	}
	return result, err
}

// plainInsertsQuery is plainInsertQuery for several rows. It returns how many it has
// stored.
var plainInsertsQuery = fmt.Sprintf(`
WITH stored AS (
	INSERT INTO claimcheck_tasks (id, task_path, queue_name, backend_name, priority, status, hold, args, enqueued_at, max_attempts, dispatch_due_at)
	SELECT n.id, n.task, n.queue, n.backend, n.priority, 'READY', 0, n.args::json, now(), n.max_attempts, CASE WHEN n.armed THEN now() + %s ELSE now() END
	FROM unnest(`+plainParameters+`) AS n(`+plainNames+`)
	RETURNING 1)
SELECT count(*), now() FROM stored`, interval(queue.DispatchGrace))

// insertPlain stores rows for which isPlain holds, or, if one exists, none, and leaves
// them to insertAgain.
func (s *Store) insertPlain(ctx context.Context, rows []*queue.NewRow) ([]batch.Result[inserted], error) {
	answers := make([]batch.Result[inserted], len(rows))
	err := s.on(ctx, "insert tasks", func(conn *pgx.Conn) error {
		var stored int
		var now time.Time
		if err := conn.QueryRow(ctx, plainInsertsQuery, insertValues(rows)[:plainCount]...).Scan(&stored, (*moment)(&now)); err != nil {
			return err
		}
		if stored < len(rows) { // it is not known which; insertAgain recognizes them
			return nil
		}
		for i, row := range rows {
			t := timesAt(now, row)
			answers[i] = batch.Result[inserted]{Answer: inserted{row: t.row(row)}, Served: true}
		}
		return nil
	})
	if isCode(err, pgerrcode.UniqueViolation) {
		return answers, nil
	}
	return answers, err
}
