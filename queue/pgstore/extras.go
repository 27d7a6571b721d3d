package pgstore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Extras are the columns that only some rows have. They are read and written as one
// JSON value, which is NULL for all other rows. A claim reads only whether there are any,
// and then them: even the expression for the value costs each claim a few per cent.

// hasExtras is queue.Row.HasExtras, or whether the row has what a run has reported.
const hasExtras = `(unique_key IS NOT NULL OR schedule IS NOT NULL OR scheduled_for IS NOT NULL OR limit_key IS NOT NULL OR expires_at IS NOT NULL
	OR keep_successful IS NOT NULL OR keep_failed IS NOT NULL OR on_failed IS NOT NULL OR group_id IS NOT NULL OR completes_group IS NOT NULL
	OR key_id IS NOT NULL OR progress_done IS NOT NULL OR note IS NOT NULL)`

// extrasColumn is the value.
const extrasColumn = `CASE WHEN ` + hasExtras + ` THEN json_build_object('unique_key', unique_key, 'unique_scope', unique_scope, 'unique_until', unique_until, 'schedule', schedule, 'scheduled_for', scheduled_for,
		'limit_key', limit_key, 'expires_at', expires_at, 'keep_successful', keep_successful, 'keep_failed', keep_failed, 'delete_at', delete_at, 'on_failed', on_failed,
		'group_id', group_id, 'completes_group', completes_group, 'key_id', key_id,
		'progress_done', progress_done, 'progress_total', progress_total, 'note', note) END`

// extrasQuery reads those of some rows. Index: the primary key.
const extrasQuery = `SELECT id, ` + extrasColumn + ` FROM claimcheck_tasks WHERE id = ANY($1::uuid[])`

// The columns that an insert sets from that value, as a record e.
const (
	extrasInserted = `unique_key, unique_scope, unique_until, schedule, scheduled_for, limit_key, expires_at, keep_successful, keep_failed, on_failed, group_id, completes_group, key_id`
	extrasValues   = `e.unique_key, e.unique_scope, coalesce(e.unique_until, now() + e.unique_for * interval '1 microsecond'),
	e.schedule, e.scheduled_for, e.limit_key, coalesce(e.expires_at, now() + e.expires_in * interval '1 microsecond'), e.keep_successful, e.keep_failed, e.on_failed,
	e.group_id, e.completes_group, e.key_id`
	extrasRecord = `json_to_record(n.extras::json) AS e(unique_key text, unique_scope int2, unique_until timestamptz, unique_for int8,
		schedule text, scheduled_for timestamptz, limit_key text, expires_at timestamptz, expires_in int8, keep_successful int4, keep_failed int4, on_failed text, group_id uuid, completes_group uuid, key_id text)`
)

// extras is its form, and that of the parameter of an insert, which has the two
// durations besides.
type extras struct {
	UniqueKey      string            `json:"unique_key,omitempty"`
	UniqueScope    queue.UniqueScope `json:"unique_scope,omitempty"`
	UniqueUntil    *time.Time        `json:"unique_until,omitempty"`
	UniqueFor      int64             `json:"unique_for,omitempty"` // microseconds
	Schedule       string            `json:"schedule,omitempty"`
	ScheduledFor   *time.Time        `json:"scheduled_for,omitempty"`
	LimitKey       string            `json:"limit_key,omitempty"`
	ExpiresAt      *time.Time        `json:"expires_at,omitempty"`
	ExpiresIn      int64             `json:"expires_in,omitempty"`      // microseconds
	KeepSuccessful *int64            `json:"keep_successful,omitempty"` // seconds
	KeepFailed     *int64            `json:"keep_failed,omitempty"`
	DeleteAt       *time.Time        `json:"delete_at,omitempty"`
	OnFailed       string            `json:"on_failed,omitempty"`
	KeyID          string            `json:"key_id,omitempty"`
	ProgressDone   *int              `json:"progress_done,omitempty"`
	ProgressTotal  int               `json:"progress_total,omitempty"`
	Note           string            `json:"note,omitempty"`
	Group          uuid.UUID         `json:"group_id,omitzero"`
	Completes      uuid.UUID         `json:"completes_group,omitzero"`
}

// decodeExtras sets the extras of a row; nil is NULL.
func decodeExtras(row *queue.Row, stored []byte) {
	if stored == nil {
		return
	}
	var e extras
	if err := json.Unmarshal(stored, &e); err != nil {
		row.SetInvalid("unique_until, scheduled_for, expires_at or delete_at", string(stored), fmt.Errorf("it must be a time: %w", err))
		return
	}
	row.UniqueKey, row.UniqueScope, row.UniqueUntil = e.UniqueKey, e.UniqueScope, utc(e.UniqueUntil)
	row.Schedule, row.ScheduledFor = e.Schedule, utc(e.ScheduledFor)
	row.KeyID, row.LimitKey, row.ExpiresAt, row.DeleteAt = e.KeyID, e.LimitKey, utc(e.ExpiresAt), utc(e.DeleteAt)
	if e.KeepSuccessful != nil || e.KeepFailed != nil {
		row.Keep = &queue.Retention{Successful: seconds(e.KeepSuccessful), Failed: seconds(e.KeepFailed)}
	}
	row.DecodeOnFailed(e.OnFailed)
	if row.Note = e.Note; e.ProgressDone != nil {
		row.Progress = &queue.TaskProgress{Done: *e.ProgressDone, Total: e.ProgressTotal}
	}
	row.Group, row.Completes = e.Group, e.Completes
}

// loadExtras sets the extras of rows that have some.
func loadExtras(ctx context.Context, conn *pgx.Conn, rows []*queue.Row) error {
	if len(rows) == 0 {
		return nil
	}
	byID, ids := make(map[uuid.UUID]*queue.Row, len(rows)), make([]uuid.UUID, len(rows))
	for i, row := range rows {
		byID[row.ID], ids[i] = row, row.ID
	}
	result, err := conn.Query(ctx, extrasQuery, uuidValues(ids))
	if err != nil {
		return err
	}
	var rowID uuid.UUID
	var stored []byte
	_, err = pgx.ForEachRow(result, []any{(*id)(&rowID), &stored}, func() error {
		decodeExtras(byID[rowID], stored)
		return nil
	})
	return err
}

func utc(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

func seconds(n *int64) time.Duration {
	if n == nil {
		return 0
	}
	return time.Duration(*n) * time.Second
}

// encodeExtras returns the extras of a new row, which may be none.
func encodeExtras(row *queue.NewRow) (string, error) {
	e := extras{
		UniqueKey: row.UniqueKey, UniqueScope: row.UniqueScope, UniqueUntil: known(row.UniqueUntil), UniqueFor: row.UniqueFor.Microseconds(),
		Schedule: row.Schedule, ScheduledFor: known(row.ScheduledFor), LimitKey: row.LimitKey,
		ExpiresAt: known(row.ExpiresAt), ExpiresIn: row.ExpiresIn.Microseconds(), OnFailed: row.EncodeOnFailed(), Group: row.Group, Completes: row.Completes, KeyID: row.KeyID,
	}
	if row.Keep != nil {
		successful, failed := int64(row.Keep.Successful/time.Second), int64(row.Keep.Failed/time.Second)
		e.KeepSuccessful, e.KeepFailed = &successful, &failed
	}
	text, err := json.Marshal(e)
	return string(text), err
}

// storedExtras sets the extras of a row that was stored at the time now.
func storedExtras(row *queue.Row, request *queue.NewRow, now time.Time) {
	row.UniqueKey, row.UniqueScope, row.UniqueUntil = request.UniqueKey, request.UniqueScope, timeOrIn(now, request.UniqueUntil, request.UniqueFor)
	row.Schedule, row.ScheduledFor, row.LimitKey = request.Schedule, request.ScheduledFor.UTC().Truncate(time.Microsecond), request.LimitKey
	row.ExpiresAt, row.Keep, row.OnFailed = timeOrIn(now, request.ExpiresAt, request.ExpiresIn), request.Keep, request.OnFailed
	row.Group, row.Completes, row.KeyID = request.Group, request.Completes, request.KeyID
}

// timeOrIn is an absolute time, or else one some time from now, or else zero.
func timeOrIn(now, absolute time.Time, in time.Duration) time.Time {
	if absolute.IsZero() && in > 0 {
		absolute = now.Add(in)
	}
	return absolute.UTC().Truncate(time.Microsecond)
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.Truncate(time.Microsecond) // the database would round
	return &t
}
