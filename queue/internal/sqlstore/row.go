package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// The columns of a row in three parts: the request, which never changes, the state, which
// every change writes as a whole, and what only the statements of a run write.
const (
	requestColumns = `id, task_path, queue_name, backend_name, priority, args, timeout_ms, enqueued_at, trace_context,
		unique_key, schedule, scheduled_for, limit_key, expires_at, keep_successful, keep_failed, on_failed, group_id, completes_group, key_id`
	stateColumns = `status, hold, attempts, max_attempts, interruptions, run_after, retry_at, started_at, last_attempted_at,
		finished_at, return_value, errors, error_group, error_text, worker_ids, dispatch_error, dispatch_due_at, dispatch_tries, claim_id, lease_expires_at,
		unique_scope, unique_until, delete_at`
	newColumns    = requestColumns + `, ` + stateColumns
	reportColumns = `progress_done, progress_total, note`
	columns       = newColumns + `, ` + reportColumns
)

// historyColumns are columns without the arguments and the result, which may be
// long: for rows that get a further error.
var historyColumns = strings.NewReplacer(" args,", " '' AS args,", " return_value,", " NULL AS return_value,").Replace(columns)

func requestValues(row *queue.Row) []any {
	var successful, failed any
	if row.Keep != nil {
		successful, failed = int64(row.Keep.Successful/time.Second), int64(row.Keep.Failed/time.Second)
	}
	return []any{
		row.ID, row.Task, row.Queue, row.Backend, row.Priority, string(row.Args),
		nonZero(row.Timeout.Milliseconds()), micros(row.EnqueuedAt), nonZero(row.TraceContext),
		nonZero(row.UniqueKey), nonZero(row.Schedule), micros(row.ScheduledFor), nonZero(row.LimitKey), micros(row.ExpiresAt), successful, failed, nonZero(row.EncodeOnFailed()),
		nonZero(row.Group), nonZero(row.Completes), nonZero(row.KeyID),
	}
}

// stateValues is the state of row at the database's time now.
func stateValues(row *queue.Row, now time.Time) ([]any, error) {
	workers, err := json.Marshal(append([]string{}, row.WorkerIDs...))
	if err != nil {
		return nil, err
	}
	history, err := historyValue(row.Errors)
	if err != nil {
		return nil, err
	}
	row.ErrorGroup, row.ErrorText = queue.LastError(row.Errors)
	return []any{
		row.Status, holdAt(row, now), row.Attempts, row.MaxAttempts, row.Interruptions, micros(row.RunAfter), micros(row.RetryAt),
		micros(row.StartedAt), micros(row.LastAttemptedAt), micros(row.FinishedAt), resultValue(row.ReturnValue), history, nonZero(row.ErrorGroup), nonZero(row.ErrorText), string(workers),
		nonZero(row.DispatchError), micros(row.DispatchDueAt), row.DispatchTries, nonZero(row.ClaimID), micros(row.LeaseExpiresAt),
		nonZero(row.UniqueScope), micros(row.UniqueUntil), micros(row.DeleteAt),
	}, nil
}

// historyValue is how a list of errors is stored.
func historyValue(errors []queue.AttemptError) (any, error) {
	if len(errors) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(errors)
	return string(text), err
}

// resultValue is how a return value is stored.
func resultValue(result json.RawMessage) any {
	if result == nil {
		return nil
	}
	return string(result)
}

// Why a pull claim may not take a READY row now.
const (
	holdNone = 0
	holdTime = 1 // it is not due
	// storekit.HoldParked: its queue is, or was, paused
)

// What parking makes of a row, and the least time that it may have then.
var (
	setParked   = fmt.Sprintf(`hold = %d, dispatch_due_at = dispatch_due_at + %d`, storekit.HoldParked, storekit.ParkMicros)
	parkedFrom  = strconv.FormatInt(queue.ParkedFrom.UnixMicro(), 10)
	limitedFrom = strconv.FormatInt(queue.LimitedFrom.UnixMicro(), 10)
)

func holdAt(row *queue.Row, now time.Time) int {
	if row.Parked() {
		return storekit.HoldParked
	}
	if row.Status == queue.StatusReady && (row.RunAfter.After(now) || row.RetryAt.After(now)) {
		return holdTime
	}
	return holdNone
}

// scanRow reads columns.
func scanRow(scan func(dest ...any) error) (*queue.Row, error) {
	row := new(queue.Row)
	var args string
	var claimID, workers, value, history, group, text, dispatchError, trace, key, schedule, limitKey, onFailed, keyID, note sql.NullString
	var timeout, scope, keepSuccessful, keepFailed, done, total sql.NullInt64
	var member, completes uuid.NullUUID
	var hold int
	err := scan(
		&row.ID, &row.Task, &row.Queue, &row.Backend, &row.Priority, &args, &timeout, at(&row.EnqueuedAt), &trace,
		&key, &schedule, at(&row.ScheduledFor), &limitKey, at(&row.ExpiresAt), &keepSuccessful, &keepFailed, &onFailed, &member, &completes, &keyID,
		&row.Status, &hold, &row.Attempts, &row.MaxAttempts, &row.Interruptions, at(&row.RunAfter), at(&row.RetryAt),
		at(&row.StartedAt), at(&row.LastAttemptedAt), at(&row.FinishedAt), &value, &history, &group, &text, &workers,
		&dispatchError, at(&row.DispatchDueAt), &row.DispatchTries, &claimID, at(&row.LeaseExpiresAt),
		&scope, at(&row.UniqueUntil), at(&row.DeleteAt),
		&done, &total, &note,
	)
	if err != nil {
		return nil, err
	}
	row.Timeout = time.Duration(timeout.Int64) * time.Millisecond
	row.DispatchError, row.ErrorGroup, row.ErrorText, row.TraceContext = dispatchError.String, group.String, text.String, trace.String
	row.UniqueKey, row.UniqueScope, row.Schedule, row.LimitKey = key.String, queue.UniqueScope(scope.Int64), schedule.String, limitKey.String
	row.KeyID = keyID.String
	if keepSuccessful.Valid || keepFailed.Valid {
		row.Keep = &queue.Retention{Successful: time.Duration(keepSuccessful.Int64) * time.Second, Failed: time.Duration(keepFailed.Int64) * time.Second}
	}
	row.DecodeOnFailed(onFailed.String)
	if row.Note = note.String; done.Valid {
		row.Progress = &queue.TaskProgress{Done: int(done.Int64), Total: int(total.Int64)}
	}
	row.Group, row.Completes = member.UUID, completes.UUID
	if history.Valid {
		row.DecodeErrors([]byte(history.String))
	}
	var ok bool
	if row.WorkerIDs, ok = decodeWorkers(workers.String); !ok {
		row.SetInvalid("worker_ids", workers.String, errors.New("it must be a JSON list of texts"))
	}
	if claimID.String != "" {
		if row.ClaimID, err = uuid.Parse(claimID.String); err != nil {
			row.SetInvalid("claim_id", claimID.String, errors.New("it must be a UUID"))
		}
	}
	row.Args = document(row, "args", args)
	if value.Valid {
		row.ReturnValue = document(row, "return_value", value.String)
	}
	return row, nil
}

// decodeWorkers decodes a list of workers, nil for an empty one.
func decodeWorkers(names string) (workers []string, ok bool) {
	if names == "" || names == "[]" {
		return nil, true
	}
	if json.Unmarshal([]byte(names), &workers) != nil {
		return nil, false
	}
	return workers, true
}

// document is the JSON that a column holds, or its text as a JSON string if that is
// invalid. It is empty where the column was not read.
func document(row *queue.Row, column, text string) json.RawMessage {
	if text == "" || json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	row.SetInvalid(column, text, errors.New("it must be JSON"))
	quoted, _ := json.Marshal(text) // a string can be encoded
	return quoted
}

// Get returns one row, or queue.ErrNotFound.
func (s *Store) Get(ctx context.Context, id uuid.UUID) (row *queue.Row, err error) {
	err = s.read(ctx, "get task", func(conn querier) error {
		row, err = get(ctx, conn, id)
		return err
	})
	return row, err
}

// GetTx is Get as a part of tx.
func (s *Store) GetTx(ctx context.Context, tx queue.Tx, id uuid.UUID) (row *queue.Row, err error) {
	err = s.in(ctx, "get task", tx, func(ctx context.Context, q querier) error {
		row, err = get(ctx, q, id)
		return err
	})
	return row, err
}

// load reads one row, and locks it in a transaction. Only a caller's transaction
// waits for a row that is locked: the store's own would hold a connection
// meanwhile. There the error is queue.ErrLocked, and comes with the row as it was
// before.
func load(ctx context.Context, q querier, id uuid.UUID) (*queue.Row, error) {
	switch {
	case !q.locks:
		return loadBy(ctx, q, loadQuery, id)
	case q.callers:
		return loadBy(ctx, q, loadQuery+q.store.dialect.lockRow, id)
	}
	lock := q.store.dialect.lockRows
	row, err := loadBy(ctx, q, loadQuery+lock, id)
	if err != queue.ErrNotFound || lock == "" {
		return row, err
	}
	if row, err = loadBy(ctx, q, loadQuery, id); err != nil {
		return nil, err
	}
	return row, fmt.Errorf("task %s: %w", id, queue.ErrLocked)
}

// loadNow locks and reads one row, and only then asks for the time: the row may
// have been waited for, and a lease counted from before that could be over when
// it begins. A row that is locked comes with the error, as from load.
func loadNow(ctx context.Context, tx querier, id uuid.UUID) (row *queue.Row, now time.Time, err error) {
	row, err = load(ctx, tx, id)
	if row == nil {
		return nil, now, err
	}
	now, nowErr := tx.now(ctx)
	return row, now, cmp.Or(err, nowErr)
}

// loadGated is loadNow, and returns the gates besides.
func loadGated(ctx context.Context, tx querier, id uuid.UUID) (row *queue.Row, now time.Time, closed gates, err error) {
	row, err = load(ctx, tx, id)
	if row == nil {
		return nil, now, closed, err
	}
	now, closed, gatedErr := tx.gated(ctx)
	return row, now, closed, cmp.Or(err, gatedErr)
}

// Index: the primary key.
const loadQuery = `SELECT ` + columns + ` FROM claimcheck_tasks WHERE id = ?`

// loadBy reads the one row that a query like loadQuery finds.
func loadBy(ctx context.Context, q querier, query string, id uuid.UUID) (*queue.Row, error) {
	row, err := scanRow(q.QueryRowContext(ctx, query, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, queue.ErrNotFound
	}
	return row, err
}

// list reads the rows that a query on columns finds. In a transaction it locks
// them, and skips those that another transaction has locked.
func list(ctx context.Context, q querier, query string, args ...any) ([]*queue.Row, error) {
	if q.locks {
		query += q.store.dialect.lockRows
	}
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []*queue.Row
	for rows.Next() {
		row, err := scanRow(rows.Scan)
		if err != nil {
			return nil, err
		}
		found = append(found, row)
	}
	return found, rows.Err()
}

// Index: the primary key.
const saveRow = ` WHERE id = ?`

var (
	saveState = `UPDATE claimcheck_tasks SET ` + strings.ReplaceAll(stateColumns, `,`, ` = ?,`) + ` = ?`
	saveQuery = saveState + saveRow
)

// save writes the state of a row that was read in the same transaction, and more.
func save(ctx context.Context, q querier, row *queue.Row, now time.Time, more ...assignment) error {
	values, err := stateValues(row, now)
	if err != nil {
		return err
	}
	query := saveQuery
	if len(more) > 0 || endsForGood(row.Status) {
		set, other := assigned(more)
		if endsForGood(row.Status) {
			set += dropCheckpoint
		}
		query, values = saveState+set+saveRow, append(values, other...)
	}
	if _, err = q.ExecContext(ctx, query, append(values, row.ID)...); err == nil && row.Dropped() {
		row.Args, err = dropArgs(ctx, q, row)
	}
	if err != nil {
		return err
	}
	return saveMember(ctx, q, row)
}

// saveLight is save for a row that was read without its result and its errors. These
// keep their values, and so does worker_ids, which may be invalid.
func saveLight(ctx context.Context, q querier, row *queue.Row, now time.Time) error {
	group, text := row.ErrorGroup, row.ErrorText
	values, err := stateValues(row, now)
	if err != nil {
		return err
	}
	row.ErrorGroup, row.ErrorText = group, text
	set, kept := make([]string, 0, len(stateNames)), make([]any, 0, len(stateNames)+1)
	for i, name := range stateNames {
		if !slices.Contains(longNames, name) {
			set, kept = append(set, name+` = ?`), append(kept, values[i])
		}
	}
	if endsForGood(row.Status) {
		set = append(set, `checkpoint = NULL`)
	}
	_, err = q.ExecContext(ctx, `UPDATE claimcheck_tasks SET `+strings.Join(set, `, `)+` WHERE id = ?`, append(kept, row.ID)...)
	if err == nil && row.Dropped() {
		_, err = dropArgs(ctx, q, row)
	}
	if err != nil {
		return err
	}
	return saveMember(ctx, q, row)
}

var (
	stateNames = strings.Fields(strings.ReplaceAll(stateColumns, ",", " "))
	longNames  = []string{"return_value", "errors", "error_group", "error_text", "worker_ids"}
)

// marks is n placeholders.
func marks(n int) string {
	return strings.TrimSuffix(strings.Repeat("?, ", n), ", ")
}

// nonZero is v, or NULL for the zero value.
func nonZero[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

// micros is how a time is stored.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// At scans a stored time into t.
func At(t *time.Time) sql.Scanner { return at(t) }

func at(t *time.Time) *storedTime { return (*storedTime)(t) }

type storedTime time.Time

func (t *storedTime) Scan(value any) error {
	switch v := value.(type) {
	case nil:
		*t = storedTime{}
	case int64:
		*t = storedTime(time.UnixMicro(v).UTC())
	default:
		return fmt.Errorf("a time is stored as %T", value)
	}
	return nil
}
