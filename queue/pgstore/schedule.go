package pgstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

const scheduleColumns = `s.name, s.task_path, s.spec, s.zone, s.args::text, s.queue_name, s.backend_name, s.priority, s.options::text, s.catch_up, s.overlap,
	s.paused_at, s.paused_by, s.program, s.definition, s.removed_at, s.anchored_at, s.next_at, s.last_at, s.last_task_id, s.made, s.created_at, s.changed_at`

// scheduleRow is a schedule while it is being read.
type scheduleRow struct {
	queue.Schedule
	args, options string
}

func (r *scheduleRow) fields() []any {
	return []any{
		&r.Name, &r.Task, &r.Spec, &r.Zone, &r.args, &r.Queue, &r.Backend, &r.Priority, &r.options, (*string)(&r.CatchUp), (*string)(&r.Overlap),
		(*moment)(&r.PausedAt), &r.PausedBy, &r.Program, &r.Definition, (*moment)(&r.RemovedAt), (*moment)(&r.AnchoredAt), (*moment)(&r.NextAt),
		(*moment)(&r.LastAt), (*id)(&r.LastTaskID), &r.Made, (*moment)(&r.CreatedAt), (*moment)(&r.ChangedAt),
	}
}

// schedule returns what was read.
func (r *scheduleRow) schedule() (*queue.Schedule, error) {
	s := r.Schedule
	s.Args = json.RawMessage(r.args)
	if err := json.Unmarshal([]byte(r.options), &s.Options); err != nil {
		return nil, fmt.Errorf("options of schedule %s: %w", s.Name, err)
	}
	return &s, nil
}

// schedulesQuery: the whole table; then the primary key of the tasks.
const schedulesQuery = `SELECT ` + scheduleColumns + `, coalesce(t.status, '') FROM claimcheck_schedules AS s
	LEFT JOIN claimcheck_tasks AS t ON t.id = s.last_task_id ORDER BY s.name`

// Schedules returns all schedules by name.
func (s *Store) Schedules(ctx context.Context) (all []*queue.Schedule, err error) {
	err = s.on(ctx, "read schedules", func(conn *pgx.Conn) error {
		all = nil
		result, err := conn.Query(ctx, schedulesQuery)
		if err != nil {
			return err
		}
		var r scheduleRow
		_, err = pgx.ForEachRow(result, append(r.fields(), (*string)(&r.LastStatus)), func() error {
			schedule, err := r.schedule()
			all = append(all, schedule)
			return err
		})
		return err
	})
	return all, err
}

// dueSchedulesQuery: index: claimcheck_schedules_next, from its start.
const dueSchedulesQuery = `SELECT name, next_at, now() FROM claimcheck_schedules WHERE next_at IS NOT NULL ORDER BY next_at LIMIT $1::int8`

// DueSchedules returns the schedules that are due, the earliest first.
func (s *Store) DueSchedules(ctx context.Context, ahead time.Duration, limit int) (names []string, next time.Duration, err error) {
	err = s.on(ctx, "find schedules that are due", func(conn *pgx.Conn) error {
		names, next = nil, 0
		result, err := conn.Query(ctx, dueSchedulesQuery, limit+1)
		if err != nil {
			return err
		}
		var name string
		var at, now time.Time
		_, err = pgx.ForEachRow(result, []any{&name, (*moment)(&at), (*moment)(&now)}, func() error {
			switch due := !at.After(now.Add(ahead)); {
			case due && len(names) < limit:
				names = append(names, name)
			case next == 0:
				next = max(at.Sub(now), time.Microsecond)
			}
			return nil
		})
		return err
	})
	return names, next, err
}

// stalledTick is how long the transaction of a change may stand still before the server
// ends it: its process may have been stopped, and others wait for the schedule.
const stalledTick = 10 * time.Second

// lockScheduleQuery: index: the primary key.
var (
	lockScheduleQuery = `SELECT now(), set_config('idle_in_transaction_session_timeout', '` + fmt.Sprint(stalledTick.Milliseconds()) + `', true), ` +
		scheduleColumns + ` FROM claimcheck_schedules AS s WHERE name = $1::text FOR UPDATE SKIP LOCKED`
	findScheduleQuery = `SELECT now(), EXISTS (SELECT FROM claimcheck_schedules WHERE name = $1::text)`
)

// ChangeSchedule changes a schedule in one transaction.
func (s *Store) ChangeSchedule(ctx context.Context, name string, change func(queue.ScheduleState) (*queue.ScheduleChange, error)) error {
	var made *queue.ScheduleChange
	var stored []inserted
	err := storekit.ChangeSchedule(func() error {
		return s.with(ctx, "change schedule", use{ownTransaction: true}, func(conn *pgx.Conn) error {
			return pgx.BeginTxFunc(ctx, conn, readCommitted, func(tx pgx.Tx) error {
				state, err := scheduleState(ctx, tx, name)
				if err != nil {
					return err
				}
				if made, err = change(state); err != nil || made == nil {
					return err
				}
				stored, err = s.storeScheduleChange(ctx, tx, name, state, made)
				return err
			})
		})
	})
	if err != nil || made == nil {
		return err
	}
	return copyBack(made.Rows, nil, stored...)
}

// scheduleState locks a schedule and reads its state.
func scheduleState(ctx context.Context, tx pgx.Tx, name string) (state queue.ScheduleState, err error) {
	var r scheduleRow
	var limit string
	err = tx.QueryRow(ctx, lockScheduleQuery, name).Scan(append([]any{(*moment)(&state.Now), &limit}, r.fields()...)...)
	if errors.Is(err, pgx.ErrNoRows) {
		exists := false
		err = tx.QueryRow(ctx, findScheduleQuery, name).Scan((*moment)(&state.Now), &exists)
		if err == nil && exists {
			err = fmt.Errorf("schedule %s: %w", name, queue.ErrLocked)
		}
		return state, err
	}
	if err != nil {
		return state, err
	}
	if state.Schedule, err = r.schedule(); err != nil {
		return state, err
	}
	if err := readAhead(ctx, tx, &state); err != nil {
		return state, err
	}
	if state.Schedule.Overlap == queue.OverlapSkip {
		err = tx.QueryRow(ctx, unfinishedQuery, name).Scan(&state.Unfinished)
	}
	return state, err
}

// Indexes: the primary keys. Of the rows that unfinishedQuery joins there are a few
// hundred; the planner must not begin with all rows that are READY.
const (
	unfinishedQuery = `SELECT EXISTS (SELECT FROM claimcheck_occurrences AS o, LATERAL (
			SELECT status FROM claimcheck_tasks WHERE id = o.task_id LIMIT 1) AS t
		WHERE o.schedule = $1::text AND o.skipped IS NULL AND t.status IN ('READY', 'RUNNING'))`
	aheadQuery = `SELECT scheduled_for, task_id FROM claimcheck_occurrences
		WHERE schedule = $1::text AND scheduled_for > now() AND task_id IS NOT NULL ORDER BY scheduled_for`
	lastQuery = `SELECT scheduled_for, task_id FROM claimcheck_occurrences
		WHERE schedule = $1::text AND scheduled_for <= now() AND task_id IS NOT NULL AND skipped IS NULL ORDER BY scheduled_for DESC LIMIT 1`
	// The task of an occurrence whose key another row held is that row, which is not the schedule's.
	lockWaitingQuery = `SELECT id, scheduled_for FROM claimcheck_tasks WHERE id = ANY($1::uuid[]) AND status = 'READY' AND schedule = $2::text FOR UPDATE SKIP LOCKED`
)

// readAhead reads the occurrences that were enqueued ahead, and locks those that can be
// cancelled.
func readAhead(ctx context.Context, tx pgx.Tx, state *queue.ScheduleState) error {
	result, err := tx.Query(ctx, aheadQuery, state.Schedule.Name)
	if err != nil {
		return err
	}
	var o queue.Occurrence
	var ids []uuid.UUID
	_, err = pgx.ForEachRow(result, []any{(*moment)(&o.ScheduledFor), (*id)(&o.TaskID)}, func() error {
		state.Ahead = append(state.Ahead, o)
		ids = append(ids, o.TaskID)
		return nil
	})
	if err != nil || len(ids) == 0 {
		return err
	}
	if result, err = tx.Query(ctx, lockWaitingQuery, uuidValues(ids), state.Schedule.Name); err != nil {
		return err
	}
	var waiting queue.Occurrence
	_, err = pgx.ForEachRow(result, []any{(*id)(&waiting.TaskID), (*moment)(&waiting.ScheduledFor)}, func() error {
		for i := range state.Ahead {
			ahead := &state.Ahead[i]
			ahead.Waiting = ahead.Waiting || ahead.TaskID == waiting.TaskID && ahead.ScheduledFor.Equal(waiting.ScheduledFor)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = tx.QueryRow(ctx, lastQuery, state.Schedule.Name).Scan((*moment)(&state.Last.ScheduledFor), (*id)(&state.Last.TaskID))
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}

// The statements of a change. Indexes: the primary keys.
var cancelWaitingQuery = `UPDATE claimcheck_tasks SET ` + setCancelled() + ` WHERE id = ANY($1::uuid[]) AND status = 'READY'`

const (
	forgetQuery           = `DELETE FROM claimcheck_occurrences WHERE schedule = $1::text AND task_id = ANY($2::uuid[]) AND skipped IS NULL`
	deleteScheduleQuery   = `DELETE FROM claimcheck_schedules WHERE name = $1::text`
	deleteOccurrenceQuery = `DELETE FROM claimcheck_occurrences WHERE schedule = $1::text`
	addOccurrenceQuery    = `INSERT INTO claimcheck_occurrences (schedule, scheduled_for, task_id, skipped)
		VALUES ($1::text, $2::timestamptz, $3::uuid, nullif($4::text, '')) ON CONFLICT (schedule, scheduled_for) DO NOTHING`
	skipHeldQuery = `UPDATE claimcheck_occurrences SET task_id = $3::uuid, skipped = $4::text WHERE schedule = $1::text AND scheduled_for = $2::timestamptz`
	// It looks at the tasks one by one: the planner must not begin with all that are READY.
	trimQuery = `DELETE FROM claimcheck_occurrences AS o WHERE schedule = $1::text AND scheduled_for < (
			SELECT scheduled_for FROM claimcheck_occurrences WHERE schedule = $1::text ORDER BY scheduled_for DESC OFFSET $2::int8 LIMIT 1)
		AND NOT ($3::bool AND o.skipped IS NULL AND coalesce((SELECT status IN ('READY', 'RUNNING') FROM claimcheck_tasks WHERE id = o.task_id), false))`
	putScheduleQuery = `
INSERT INTO claimcheck_schedules AS s (name, task_path, spec, zone, args, queue_name, backend_name, priority, options, catch_up, overlap,
	paused_at, paused_by, program, definition, removed_at, anchored_at, next_at, last_at, last_task_id, made, created_at, changed_at)
VALUES ($1::text, $2::text, $3::text, $4::text, $5::text::json, $6::text, $7::text, $8::int8, $9::text::json, $10::text, $11::text,
	$12::timestamptz, $13::text, $14::text, $15::text, $16::timestamptz, $17::timestamptz, $18::timestamptz, $19::timestamptz, $20::uuid, $21::int8, $22::timestamptz, $23::timestamptz)
ON CONFLICT (name) DO UPDATE SET task_path = excluded.task_path, spec = excluded.spec, zone = excluded.zone, args = excluded.args,
	queue_name = excluded.queue_name, backend_name = excluded.backend_name, priority = excluded.priority, options = excluded.options,
	catch_up = excluded.catch_up, overlap = excluded.overlap, paused_at = excluded.paused_at, paused_by = excluded.paused_by,
	program = excluded.program, definition = excluded.definition, removed_at = excluded.removed_at, anchored_at = excluded.anchored_at,
	next_at = excluded.next_at, last_at = excluded.last_at, last_task_id = excluded.last_task_id, made = excluded.made, changed_at = excluded.changed_at
	WHERE $24::bool`
)

// storeScheduleChange writes what a change decided, and returns the stored rows.
func (s *Store) storeScheduleChange(ctx context.Context, tx pgx.Tx, name string, state queue.ScheduleState, change *queue.ScheduleChange) ([]inserted, error) {
	if len(change.Cancel) > 0 {
		var ids []uuid.UUID
		for _, o := range change.Cancel {
			ids = append(ids, o.TaskID)
		}
		if _, err := tx.Exec(ctx, cancelWaitingQuery, uuidValues(ids)); err != nil {
			return nil, err
		}
		if _, err := tx.Exec(ctx, forgetQuery, name, uuidValues(ids)); err != nil {
			return nil, err
		}
	}
	if change.Schedule == nil {
		_, err := tx.Exec(ctx, deleteOccurrenceQuery, name)
		if err == nil {
			_, err = tx.Exec(ctx, deleteScheduleQuery, name)
		}
		return nil, err
	}
	if err := putSchedule(ctx, tx, change.Schedule, state.Schedule != nil); err != nil {
		return nil, err
	}
	for _, o := range change.Skipped {
		if _, err := tx.Exec(ctx, addOccurrenceQuery, name, timeValue(o.ScheduledFor), uuidValue(uuid.Nil), string(o.Skipped)); err != nil {
			return nil, err
		}
	}
	stored, held, err := s.insertOccurrences(ctx, tx, state.Schedule, change)
	if err == nil && (held || storekit.TrimOccurrences(change)) {
		_, err = tx.Exec(ctx, trimQuery, name, queue.OccurrencesKept, change.Schedule.Overlap == queue.OverlapSkip)
	}
	return stored, err
}

// putSchedule inserts a schedule, or updates the one that exists, which is locked.
func putSchedule(ctx context.Context, tx pgx.Tx, s *queue.Schedule, exists bool) error {
	options, err := json.Marshal(s.Options)
	if err != nil {
		return err
	}
	n, err := count(tx.Exec(ctx, putScheduleQuery, s.Name, s.Task, s.Spec, s.Zone, string(s.Args), s.Queue, s.Backend, s.Priority, string(options),
		string(s.CatchUp), string(s.Overlap), timeValue(s.PausedAt), s.PausedBy, s.Program, s.Definition, timeValue(s.RemovedAt), timeValue(s.AnchoredAt),
		timeValue(s.NextAt), timeValue(s.LastAt), uuidValue(s.LastTaskID), s.Made, timeValue(s.CreatedAt), timeValue(s.ChangedAt), exists))
	if err == nil && n == 0 {
		return storekit.ErrScheduleAppeared
	}
	return err
}

// insertOccurrences inserts the tasks of occurrences that do not exist, and reports whether
// other rows hold the keys of some.
func (s *Store) insertOccurrences(ctx context.Context, tx pgx.Tx, old *queue.Schedule, change *queue.ScheduleChange) (all []inserted, anyHeld bool, _ error) {
	name, rows := change.Schedule.Name, change.Rows
	var fresh []*queue.NewRow
	for _, row := range rows {
		n, err := count(tx.Exec(ctx, addOccurrenceQuery, name, timeValue(row.ScheduledFor), uuidValue(row.ID), ""))
		if err != nil {
			return nil, false, err
		}
		if n > 0 {
			fresh = append(fresh, row)
		}
	}
	stored, err := s.insertAny(ctx, tx, false, fresh)
	if err != nil {
		return nil, false, err
	}
	held := func(i int) bool { return stored[i].row.ID != fresh[i].ID }
	byID := make(map[uuid.UUID]inserted, len(fresh))
	for i, row := range fresh {
		byID[row.ID] = stored[i]
		if !held(i) {
			continue
		}
		anyHeld = true
		if _, err := tx.Exec(ctx, skipHeldQuery, name, timeValue(row.ScheduledFor), uuidValue(stored[i].row.ID), string(queue.SkippedKey)); err != nil {
			return nil, false, err
		}
	}
	if anyHeld {
		if err := putSchedule(ctx, tx, storekit.WithoutHeld(old, change, fresh, held), true); err != nil {
			return nil, false, err
		}
	}
	all = make([]inserted, len(rows))
	for i, row := range rows {
		all[i] = inserted{row: new(queue.Row)}
		if one, ok := byID[row.ID]; ok {
			all[i] = one
		}
	}
	return all, anyHeld, nil
}

// occurrencesQuery: index: the primary keys.
const occurrencesQuery = `SELECT o.scheduled_for, o.task_id, coalesce(o.skipped, ''), coalesce(t.status, ''), t.enqueued_at, t.started_at, t.finished_at, coalesce(t.error_text, '')
FROM claimcheck_occurrences AS o LEFT JOIN claimcheck_tasks AS t ON t.id = o.task_id AND o.skipped IS NULL
WHERE o.schedule = $1::text ORDER BY o.scheduled_for DESC LIMIT $2::int8`

// Occurrences returns the latest occurrences of a schedule, newest first.
func (s *Store) Occurrences(ctx context.Context, name string, limit int) (list []queue.Occurrence, err error) {
	err = s.on(ctx, "read occurrences", func(conn *pgx.Conn) error {
		list = nil
		result, err := conn.Query(ctx, occurrencesQuery, name, limit)
		if err != nil {
			return err
		}
		var o queue.Occurrence
		_, err = pgx.ForEachRow(result, []any{
			(*moment)(&o.ScheduledFor), (*id)(&o.TaskID), (*string)(&o.Skipped), (*string)(&o.Status),
			(*moment)(&o.EnqueuedAt), (*moment)(&o.StartedAt), (*moment)(&o.FinishedAt), &o.ErrorText,
		}, func() error {
			list = append(list, o)
			return nil
		})
		return err
	})
	return list, err
}
