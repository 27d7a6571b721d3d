package pgstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/claimcheck-go/claimcheck/queue"
)

// columns are the columns that a statement returns of a row, in the order of fields.
const (
	columns = headColumns + `, return_value, errors, args` + tailColumns
	// lightColumns omit the columns that may be long.
	lightColumns = headColumns + `, NULL::json, NULL::json, NULL::json` + tailColumns
	// historyColumns omit all of these but the errors.
	historyColumns = headColumns + `, NULL::json, errors, NULL::json` + tailColumns

	headColumns = `id, status, task_path, queue_name, backend_name, priority, attempts, max_attempts,
	enqueued_at, run_after, retry_at, started_at, last_attempted_at, finished_at`
	tailColumns = `, worker_ids, coalesce(dispatch_error, ''), coalesce(timeout_ms, 0),
	claim_id, lease_expires_at, interruptions, dispatch_due_at, dispatch_tries, coalesce(error_group, ''), coalesce(error_text, ''),
	coalesce(trace_context, ''), ` + extrasColumn
)

// scanned is a row while it is being read. The next one may be read into it.
type scanned struct {
	queue.Row
	history []byte
	workers pgtype.Array[pgtype.Text]
	timeout int64
	extras  []byte
	more    bool // whether there are extras, where a statement does not return them
}

func (r *scanned) fields() []any {
	return []any{
		(*id)(&r.ID), (*repeated)(&r.Status), (*repeated)(&r.Task), (*repeated)(&r.Queue), (*repeated)(&r.Backend), &r.Priority, &r.Attempts, &r.MaxAttempts,
		(*moment)(&r.EnqueuedAt), (*moment)(&r.RunAfter), (*moment)(&r.RetryAt), (*moment)(&r.StartedAt), (*moment)(&r.LastAttemptedAt), (*moment)(&r.FinishedAt),
		(*[]byte)(&r.ReturnValue), &r.history, (*[]byte)(&r.Args), &r.workers, &r.DispatchError, &r.timeout,
		(*id)(&r.ClaimID), (*moment)(&r.LeaseExpiresAt), &r.Interruptions, (*moment)(&r.DispatchDueAt), &r.DispatchTries, &r.ErrorGroup, &r.ErrorText,
		&r.TraceContext, &r.extras,
	}
}

// row returns the row that was read. Its Invalid names a column that cannot be decoded.
func (r *scanned) row() *queue.Row {
	row := r.Row
	row.Timeout = time.Duration(r.timeout) * time.Millisecond
	row.DecodeErrors(r.history)
	decodeExtras(&row, r.extras)
	if len(r.workers.Elements) > 0 {
		row.WorkerIDs = make([]string, len(r.workers.Elements))
	}
	for i, name := range r.workers.Elements {
		row.WorkerIDs[i] = name.String
	}
	isNull := func(name pgtype.Text) bool { return !name.Valid }
	if len(r.workers.Dims) > 1 || slices.ContainsFunc(r.workers.Elements, isNull) {
		row.WorkerIDs = nil
		row.SetInvalid("worker_ids", fmt.Sprintf("%d dimensions, %q", len(r.workers.Dims), texts(r.workers.Elements)), errWorkers)
	}
	return &row
}

var errWorkers = errors.New("it must be an array of one dimension without NULL")

// texts returns values for a message.
func texts(values []pgtype.Text) []string {
	list := make([]string, len(values))
	for i, value := range values {
		if list[i] = value.String; !value.Valid {
			list[i] = "NULL"
		}
	}
	return list
}

// one reads the row that a statement returns, or pgx.ErrNoRows. first receives the
// columns before those of the row.
func one(result pgx.Row, first ...any) (*queue.Row, error) {
	var r scanned
	if err := result.Scan(append(first, r.fields()...)...); err != nil {
		return nil, err
	}
	return r.row(), nil
}

// many reads the rows that a statement returns.
func many(result pgx.Rows, err error) (rows []*queue.Row, _ error) {
	if err != nil {
		return nil, err
	}
	var r scanned
	_, err = pgx.ForEachRow(result, r.fields(), func() error {
		rows = append(rows, r.row())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// Get returns one row, or [queue.ErrNotFound].
func (s *Store) Get(ctx context.Context, taskID uuid.UUID) (row *queue.Row, err error) {
	err = s.on(ctx, "get task", func(conn *pgx.Conn) error {
		row, err = get(ctx, conn, taskID)
		return err
	})
	return row, err
}

// GetTx is Get as a part of tx.
func (s *Store) GetTx(ctx context.Context, tx queue.Tx, taskID uuid.UUID) (row *queue.Row, err error) {
	err = s.in(ctx, "get task", tx, func(tx pgx.Tx) error {
		row, err = get(ctx, tx, taskID)
		return err
	})
	return row, err
}

// get reads one row with its checkpoint.
func get(ctx context.Context, q querier, taskID uuid.UUID) (*queue.Row, error) {
	var checkpoint []byte
	row, err := one(q.QueryRow(ctx, getQuery, uuidValue(taskID)), &checkpoint)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, queue.ErrNotFound
	}
	if err == nil {
		row.Checkpoint = checkpoint
	}
	return row, err
}

// getQuery: index: the primary key.
const getQuery = `SELECT checkpoint, ` + columns + ` FROM claimcheck_tasks WHERE id = $1::uuid`

// load reads one row, and the database's time.
func load(ctx context.Context, q querier, taskID uuid.UUID) (row *queue.Row, now time.Time, err error) {
	return loaded(q.QueryRow(ctx, loadQuery, uuidValue(taskID)))
}

// loadQuery: index: the primary key.
const loadQuery = `SELECT now(), ` + columns + ` FROM claimcheck_tasks WHERE id = $1::uuid`

func loaded(result pgx.Row) (row *queue.Row, now time.Time, err error) {
	row, err = one(result, (*moment)(&now))
	if errors.Is(err, pgx.ErrNoRows) {
		err = queue.ErrNotFound
	}
	return row, now, err
}

// moment scans a timestamptz; NULL is the zero time.
type moment time.Time

func (m *moment) ScanTimestamptz(v pgtype.Timestamptz) error {
	*m = moment{}
	if v.Valid {
		*m = moment(v.Time.UTC())
	}
	return nil
}

// repeated scans a text that is often the same in the next row, and then keeps the one
// it has.
type repeated string

func (r *repeated) ScanBytes(v []byte) error {
	if string(*r) != string(v) {
		*r = repeated(v)
	}
	return nil
}

// id scans a uuid; NULL is the zero UUID.
type id uuid.UUID

func (i *id) ScanUUID(v pgtype.UUID) error {
	*i = v.Bytes
	return nil
}

// The values of statements' parameters. The driver infers the database's types from
// their Go types, which Config.Pooler requires.

func uuidValue(id uuid.UUID) pgtype.UUID {
	return pgtype.UUID{Bytes: id, Valid: id != uuid.Nil}
}

func uuidValues(ids []uuid.UUID) []pgtype.UUID {
	values := make([]pgtype.UUID, len(ids))
	for i, id := range ids {
		values[i] = uuidValue(id)
	}
	return values
}

func timeValue(t time.Time) pgtype.Timestamptz {
	return pgtype.Timestamptz{Time: t, Valid: !t.IsZero()}
}

// jsonValue is NULL for no JSON at all, as opposed to the value null.
func jsonValue(data []byte) pgtype.Text {
	return pgtype.Text{String: string(data), Valid: data != nil}
}

// historyValues are a list of errors, and the group and text of the last one. All are
// NULL for a nil list, which leaves a row's errors unchanged.
type historyValues struct{ list, group, text pgtype.Text }

func errorsValue(history []queue.AttemptError) (v historyValues, err error) {
	if history == nil {
		return v, nil
	}
	data, err := json.Marshal(history)
	group, text := queue.LastError(history)
	return historyValues{jsonValue(data), jsonValue([]byte(group)), jsonValue([]byte(text))}, err
}
