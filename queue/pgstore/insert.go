package pgstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// Insert stores rows in one transaction: all of them, or none. A single row is one
// statement, or a part of a batched one.
func (s *Store) Insert(ctx context.Context, rows ...*queue.NewRow) error {
	if slices.ContainsFunc(rows, storekit.HasGroup) {
		return s.insertMembers(ctx, rows)
	}
	if slices.ContainsFunc(rows, storekit.HasKey) {
		return s.insertKeyed(ctx, rows)
	}
	if len(rows) == 1 {
		do := s.insertOne
		if rows[0].FreshID { // any other may have to wait for another insert of the same ID
			do = s.inserts.Do
		}
		stored, err := do(ctx, rows[0])
		return copyBack(rows, err, stored)
	}
	var stored []inserted
	err := s.with(ctx, "insert tasks", use{ownTransaction: true}, func(conn *pgx.Conn) (err error) {
		if len(rows) >= copyThreshold && copyable(rows) {
			if err := insertCopy(ctx, conn, rows); !errors.Is(err, errNotCopied) {
				return err
			}
		}
		return pgx.BeginTxFunc(ctx, conn, readCommitted, func(tx pgx.Tx) (err error) {
			stored, err = insert(ctx, tx, rows)
			return err
		})
	})
	return copyBack(rows, err, stored...)
}

// inserted is a row as the database has it now.
type inserted struct {
	row     *queue.Row
	existed bool
}

// copyBack writes the stored rows to the caller's, unless there was an error.
func copyBack(rows []*queue.NewRow, err error, stored ...inserted) error {
	if err != nil {
		return err
	}
	for i, s := range stored {
		*rows[i].Row, rows[i].Existed = *s.row, s.existed
	}
	return nil
}

// insert stores rows that have no keys within the caller's transaction, which must be
// rolled back if it fails. It leaves rows as they are.
func insert(ctx context.Context, q querier, rows []*queue.NewRow) ([]inserted, error) {
	// The second time that a call contains an ID, its row exists.
	stored := make(map[uuid.UUID]*queue.Row, len(rows))
	missing := make([]*queue.NewRow, 0, len(rows))
	for _, row := range rows {
		if _, repeated := stored[row.ID]; !repeated {
			stored[row.ID] = nil
			missing = append(missing, row)
		}
	}
	existed := make(map[uuid.UUID]bool)
	for try := 0; len(missing) > 0; try++ {
		if try == 3 {
			return nil, fmt.Errorf("insert task %s: %w: it is inserted and deleted again and again", missing[0].ID, queue.ErrUnavailable)
		}
		if err := insertNew(ctx, q, missing, stored, insertExtrasQuery); err != nil {
			return nil, err
		}
		if err := loadExisting(ctx, q, missing, stored, existed); err != nil {
			return nil, err
		}
		var gone []*queue.NewRow // between the two statements, by a purge
		for _, row := range missing {
			if stored[row.ID] == nil {
				gone = append(gone, row)
			}
		}
		missing = gone
	}
	result := make([]inserted, len(rows))
	for i, row := range rows {
		old := stored[row.ID]
		if existed[row.ID] && !row.Matches(ctx, old) {
			return nil, &queue.IDConflictError{ID: row.ID, Row: old}
		}
		result[i] = inserted{old, existed[row.ID]}
		existed[row.ID] = true
	}
	return result, nil
}

// extension is what a statement for rows with extras has besides: columns and their
// values, names of columns of the source n, further sources and conditions, and, if it
// leaves out rows for more than their IDs, an empty conflict.
type extension struct{ columns, values, names, from, conflict string }

// insertFrom is the statement that inserts rows n, whose time is due.at.
func insertFrom(rows string, more extension) string {
	return `
INSERT INTO claimcheck_tasks
	(id, task_path, queue_name, backend_name, priority, status, hold, args, run_after, enqueued_at, max_attempts, timeout_ms, dispatch_due_at, trace_context` + more.columns + `)
SELECT n.id, n.task, n.queue, n.backend, n.priority, 'READY', CASE WHEN due.at > now() THEN 1 ELSE 0 END, n.args::json, due.at, now(), n.max_attempts, nullif(n.timeout_ms, 0),
	CASE WHEN n.armed THEN greatest(now(), due.at) + ` + interval(queue.DispatchGrace) + ` ELSE greatest(now(), due.at - ` + interval(queue.ArmWithin) + `) END, nullif(n.trace, '')` + more.values + `
FROM ` + rows + ` AS n(` + plainNames + `, run_after, delay_us, timeout_ms, trace` + more.names + `),
	LATERAL (SELECT coalesce(n.run_after, now() + nullif(n.delay_us, 0) * interval '1 microsecond') AS at) AS due` + more.from + `
ON CONFLICT ` + more.conflict + `DO NOTHING
RETURNING `
}

// The inserts store rows whose IDs do not exist. Index: the primary key.
var (
	insertOneQuery = insertFrom(
		`(VALUES ($1::uuid, $2::text, $3::text, $4::text, $5::int8, $6::text, $7::int8, $8::bool, $9::timestamptz, $10::int8, $11::int8, $12::text))`,
		extension{conflict: `(id) `}) + `enqueued_at, run_after, dispatch_due_at`
	insertQuery       = insertFrom(`unnest(`+insertParameters+`)`, extension{conflict: `(id) `}) + insertReturning
	insertExtrasQuery = insertExtras(`(id) `, ``)
)

// insertExtras is insertQuery for rows with extras, under a condition.
func insertExtras(conflict, condition string) string {
	return insertFrom(`unnest(`+insertParameters+`, $13::text[])`, extension{
		`, ` + extrasInserted, `, ` + extrasValues, `, extras`, `, ` + extrasRecord + condition, conflict,
	}) + insertReturning
}

const insertReturning = `id, enqueued_at, run_after, dispatch_due_at`

const (
	insertParameters = plainParameters + `, $9::timestamptz[], $10::int8[], $11::int8[], $12::text[]`
	plainParameters  = `$1::uuid[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::text[], $7::int8[], $8::bool[]`
	plainCount       = 8
	plainNames       = `id, task, queue, backend, priority, args, max_attempts, armed`
)

// times are the columns that the database sets in a new row.
type times struct{ enqueuedAt, runAfter, dispatchDueAt time.Time }

func (t *times) fields() []any {
	return []any{(*moment)(&t.enqueuedAt), (*moment)(&t.runAfter), (*moment)(&t.dispatchDueAt)}
}

// row returns the stored row of a request.
func (t *times) row(request *queue.NewRow) *queue.Row {
	row := t.added(request.Row)
	storedExtras(&row, request, t.enqueuedAt)
	return &row
}

// added returns a request's row with these columns.
func (t *times) added(request *queue.Row) queue.Row {
	return queue.Row{
		ID: request.ID, Status: queue.StatusReady,
		Task: request.Task, Queue: request.Queue, Backend: request.Backend, Priority: request.Priority,
		Args: request.Args, Timeout: time.Duration(timeoutMillis(request)) * time.Millisecond, MaxAttempts: request.MaxAttempts,
		EnqueuedAt: t.enqueuedAt, RunAfter: t.runAfter, DispatchDueAt: t.dispatchDueAt, TraceContext: request.TraceContext,
	}
}

// interval returns d as SQL.
func interval(d time.Duration) string { return fmt.Sprintf("interval '%d seconds'", int(d.Seconds())) }

// The limits of one statement, in rows and in bytes of arguments.
const (
	chunkRows  = 1000
	chunkBytes = 8 << 20
)

// insertNew inserts the rows whose IDs do not exist, and adds them to stored. extras is
// the statement for rows with extras.
func insertNew(ctx context.Context, q querier, rows []*queue.NewRow, stored map[uuid.UUID]*queue.Row, extras string) error {
	requests := make(map[uuid.UUID]*queue.NewRow, len(rows))
	for _, row := range rows {
		requests[row.ID] = row
	}
	for len(rows) > 0 {
		n, size := 0, 0
		for n < len(rows) && n < chunkRows && (n == 0 || size+len(rows[n].Args) <= chunkBytes) {
			size += len(rows[n].Args)
			n++
		}
		query, values, err := insertOf(rows[:n], extras)
		if err != nil {
			return err
		}
		result, err := q.Query(ctx, query, values...)
		if err != nil {
			return err
		}
		var taskID uuid.UUID
		var t times
		_, err = pgx.ForEachRow(result, append([]any{(*id)(&taskID)}, t.fields()...), func() error {
			stored[taskID] = t.row(requests[taskID])
			return nil
		})
		if err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// insertOf returns the statement that inserts rows, and its parameters.
func insertOf(rows []*queue.NewRow, extras string) (query string, values []any, err error) {
	values = insertValues(rows)
	if !slices.ContainsFunc(rows, (*queue.NewRow).HasExtras) {
		return insertQuery, values, nil
	}
	texts := make([]string, len(rows))
	for i, row := range rows {
		if texts[i], err = encodeExtras(row); err != nil {
			return "", nil, err
		}
	}
	return extras, append(values, texts), nil
}

// insertValues returns the parameters of insertQuery; the first plainCount are those of
// plainInsertsQuery.
func insertValues(rows []*queue.NewRow) []any {
	n := len(rows)
	var (
		ids         = make([]pgtype.UUID, n)
		tasks       = make([]string, n)
		queues      = make([]string, n)
		backends    = make([]string, n)
		priorities  = make([]int, n)
		args        = make([]string, n)
		runAfters   = make([]pgtype.Timestamptz, n)
		delays      = make([]int64, n)
		maxAttempts = make([]int, n)
		timeouts    = make([]int64, n)
		armed       = make([]bool, n)
		traces      = make([]string, n)
	)
	for i, row := range rows {
		ids[i], tasks[i], queues[i], backends[i] = uuidValue(row.ID), row.Task, row.Queue, row.Backend
		priorities[i], args[i], runAfters[i] = row.Priority, string(row.Args), timeValue(row.RunAfter)
		delays[i] = delayMicros(row)
		maxAttempts[i], timeouts[i], armed[i], traces[i] = row.MaxAttempts, timeoutMillis(row.Row), row.WillDispatch, row.TraceContext
	}
	return []any{ids, tasks, queues, backends, priorities, args, maxAttempts, armed, runAfters, delays, timeouts, traces}
}

func delayMicros(row *queue.NewRow) int64 { return max(row.Delay.Microseconds(), 0) }

// timeoutMillis rounds up, so that a short timeout does not become none.
func timeoutMillis(row *queue.Row) int64 {
	return (row.Timeout + time.Millisecond - 1).Milliseconds()
}

// Index: the primary key.
const existingQuery = `SELECT ` + columns + ` FROM claimcheck_tasks WHERE id = ANY($1::uuid[])`

// loadExisting adds to stored the rows that existed before.
func loadExisting(ctx context.Context, q querier, rows []*queue.NewRow, stored map[uuid.UUID]*queue.Row, existed map[uuid.UUID]bool) error {
	var ids []pgtype.UUID
	for _, row := range rows {
		if stored[row.ID] == nil {
			ids = append(ids, uuidValue(row.ID))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	found, err := many(q.Query(ctx, existingQuery, ids))
	for _, row := range found {
		stored[row.ID], existed[row.ID] = row, true
	}
	return err
}
