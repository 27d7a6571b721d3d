package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// ChangeSchedule changes a schedule in one transaction.
func (s *Store) ChangeSchedule(ctx context.Context, name string, change func(queue.ScheduleState) (*queue.ScheduleChange, error)) error {
	var made *queue.ScheduleChange
	var stored []inserted
	err := storekit.ChangeSchedule(func() error {
		return s.transaction(ctx, "change schedule", func(ctx context.Context, tx querier) error {
			state, err := scheduleState(ctx, tx, name)
			if err != nil {
				return err
			}
			if made, err = change(state); err != nil || made == nil {
				return err
			}
			stored, err = storeScheduleChange(ctx, tx, name, state, made)
			return err
		})
	})
	if err != nil || made == nil {
		return err
	}
	copyBack(made.Rows, stored)
	return nil
}

// scheduleState locks a schedule and reads its state.
func scheduleState(ctx context.Context, tx querier, name string) (state queue.ScheduleState, err error) {
	const find = `SELECT ` + scheduleColumns + ` FROM claimcheck_schedules WHERE name = ?`
	state.Schedule, err = scanSchedule(tx.QueryRowContext(ctx, find+tx.store.dialect.lockRows, name).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		_, err = scanSchedule(tx.QueryRowContext(ctx, find, name).Scan)
		if err == nil {
			return state, fmt.Errorf("schedule %s: %w", name, queue.ErrLocked)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return state, err
		}
		state.Schedule = nil
		state.Now, err = tx.now(ctx)
		return state, err
	}
	if err != nil {
		return state, err
	}
	if state.Now, err = tx.now(ctx); err != nil {
		return state, err
	}
	if err := readAhead(ctx, tx, &state); err != nil {
		return state, err
	}
	if state.Schedule.Overlap == queue.OverlapSkip {
		err = tx.QueryRowContext(ctx, unfinishedQuery, name).Scan(&state.Unfinished)
	}
	return state, err
}

// Indexes: the primary keys.
const (
	unfinishedQuery = `SELECT EXISTS (SELECT 1 FROM claimcheck_occurrences AS o JOIN claimcheck_tasks AS t ON t.id = o.task_id
		WHERE o.schedule = ? AND o.skipped IS NULL AND t.status IN ('READY', 'RUNNING'))`
	unfinishedBeforeQuery = `SELECT o.scheduled_for FROM claimcheck_occurrences AS o JOIN claimcheck_tasks AS t ON t.id = o.task_id
		WHERE o.schedule = ? AND o.scheduled_for < ? AND o.skipped IS NULL AND t.status IN ('READY', 'RUNNING')`
	aheadQuery = `SELECT scheduled_for, task_id FROM claimcheck_occurrences
		WHERE schedule = ? AND scheduled_for > ? AND task_id IS NOT NULL ORDER BY scheduled_for`
	lastQuery = `SELECT scheduled_for, task_id FROM claimcheck_occurrences
		WHERE schedule = ? AND scheduled_for <= ? AND task_id IS NOT NULL AND skipped IS NULL ORDER BY scheduled_for DESC LIMIT 1`
)

// readAhead reads the occurrences that were enqueued ahead, and locks those that can be
// cancelled.
func readAhead(ctx context.Context, tx querier, state *queue.ScheduleState) error {
	name, now := state.Schedule.Name, micros(state.Now)
	err := each(ctx, tx, func(scan func(...any) error) error {
		var o queue.Occurrence
		err := scan(at(&o.ScheduledFor), idOrNil{&o.TaskID})
		state.Ahead = append(state.Ahead, o)
		return err
	}, aheadQuery, name, now)
	if err != nil || len(state.Ahead) == 0 {
		return err
	}
	for i := range state.Ahead {
		row, err := load(ctx, tx, state.Ahead[i].TaskID)
		switch {
		case err == nil: // one that held the key of its task is not the schedule's
			state.Ahead[i].Waiting = row.Status == queue.StatusReady && row.Schedule == name && row.ScheduledFor.Equal(state.Ahead[i].ScheduledFor)
		case !errors.Is(err, queue.ErrNotFound) && !errors.Is(err, queue.ErrLocked):
			return err
		}
	}
	err = tx.QueryRowContext(ctx, lastQuery, name, now).Scan(at(&state.Last.ScheduledFor), idOrNil{&state.Last.TaskID})
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

// storeScheduleChange writes what a change decided, and returns the stored rows.
func storeScheduleChange(ctx context.Context, tx querier, name string, state queue.ScheduleState, change *queue.ScheduleChange) ([]inserted, error) {
	for _, o := range change.Cancel {
		if err := cancelWaiting(ctx, tx, name, o, state.Now); err != nil {
			return nil, err
		}
	}
	if change.Schedule == nil {
		_, err := tx.ExecContext(ctx, `DELETE FROM claimcheck_occurrences WHERE schedule = ?`, name)
		if err == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM claimcheck_schedules WHERE name = ?`, name)
		}
		return nil, err
	}
	if err := putSchedule(ctx, tx, change.Schedule, state.Schedule != nil); err != nil {
		return nil, err
	}
	for _, o := range change.Skipped {
		if _, err := addOccurrence(ctx, tx, name, o); err != nil {
			return nil, err
		}
	}
	stored, held, err := insertOccurrences(ctx, tx, state, change)
	if err == nil && (held || storekit.TrimOccurrences(change)) {
		err = trimOccurrences(ctx, tx, change.Schedule)
	}
	return stored, err
}

// cancelWaiting cancels a task that was enqueued ahead, and forgets its occurrence.
func cancelWaiting(ctx context.Context, tx querier, name string, o queue.Occurrence, now time.Time) error {
	row, err := load(ctx, tx, o.TaskID)
	if err != nil {
		return err
	}
	cancel(row, now)
	if err := save(ctx, tx, row, now); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM claimcheck_occurrences WHERE schedule = ? AND scheduled_for = ?`, name, micros(o.ScheduledFor))
	return err
}

// putSchedule inserts a schedule, or updates the one that exists, which is locked.
func putSchedule(ctx context.Context, tx querier, s *queue.Schedule, exists bool) error {
	values, err := scheduleValues(s)
	if err != nil {
		return err
	}
	if exists {
		set := strings.ReplaceAll(scheduleValueColumns, ",", " = ?,") + " = ?"
		_, err := tx.ExecContext(ctx, `UPDATE claimcheck_schedules SET `+set+` WHERE name = ?`, append(values, s.Name)...)
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO claimcheck_schedules (`+scheduleColumns+`) VALUES (`+marks(len(values)+1)+`)`, append([]any{s.Name}, values...)...)
	if err != nil && tx.store.backend.Duplicate(err) {
		return storekit.ErrScheduleAppeared
	}
	return err
}

// addOccurrence inserts an occurrence, unless it exists: the schedule is locked, so that
// no other transaction inserts it in between.
func addOccurrence(ctx context.Context, tx querier, name string, o queue.Occurrence) (isNew bool, err error) {
	var exists bool
	err = tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM claimcheck_occurrences WHERE schedule = ? AND scheduled_for = ?)`, name, micros(o.ScheduledFor)).Scan(&exists)
	if err != nil || exists {
		return false, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO claimcheck_occurrences (schedule, scheduled_for, task_id, skipped) VALUES (?, ?, ?, ?)`,
		name, micros(o.ScheduledFor), nonZero(o.TaskID), nonZero(string(o.Skipped)))
	return err == nil, err
}

// insertOccurrences inserts the tasks of occurrences that do not exist, and reports whether
// other rows hold the keys of some.
func insertOccurrences(ctx context.Context, tx querier, state queue.ScheduleState, change *queue.ScheduleChange) (all []inserted, anyHeld bool, _ error) {
	name, rows := change.Schedule.Name, change.Rows
	var fresh []*queue.NewRow
	for _, row := range rows {
		isNew, err := addOccurrence(ctx, tx, name, queue.Occurrence{ScheduledFor: row.ScheduledFor, TaskID: row.ID})
		if err != nil {
			return nil, false, err
		}
		if isNew {
			fresh = append(fresh, row)
		}
	}
	stored, err := insertAny(ctx, tx, state.Now, fresh)
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
		_, err := tx.ExecContext(ctx, `UPDATE claimcheck_occurrences SET task_id = ?, skipped = ? WHERE schedule = ? AND scheduled_for = ?`,
			stored[i].row.ID, string(queue.SkippedKey), name, micros(row.ScheduledFor))
		if err != nil {
			return nil, false, err
		}
	}
	if anyHeld {
		if err := putSchedule(ctx, tx, storekit.WithoutHeld(state.Schedule, change, fresh, held), true); err != nil {
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

// trimOccurrences removes all but the latest occurrences of a schedule, and those whose
// unfinished task still counts.
func trimOccurrences(ctx context.Context, tx querier, s *queue.Schedule) error {
	var last time.Time
	err := tx.QueryRowContext(ctx, `SELECT scheduled_for FROM claimcheck_occurrences WHERE schedule = ? ORDER BY scheduled_for DESC LIMIT 1 OFFSET ?`, s.Name, queue.OccurrencesKept).Scan(at(&last))
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	remove, values := `DELETE FROM claimcheck_occurrences WHERE schedule = ? AND scheduled_for < ?`, []any{s.Name, micros(last)}
	if s.Overlap == queue.OverlapSkip {
		// Not within the DELETE, where MySQL would lock the tasks.
		var unfinished []any
		err := each(ctx, tx, func(scan func(...any) error) error {
			var scheduledFor int64
			err := scan(&scheduledFor)
			unfinished = append(unfinished, scheduledFor)
			return err
		}, unfinishedBeforeQuery, values...)
		if err != nil {
			return err
		}
		if len(unfinished) > 0 {
			remove, values = remove+` AND scheduled_for NOT IN (`+marks(len(unfinished))+`)`, append(values, unfinished...)
		}
	}
	_, err = tx.ExecContext(ctx, remove, values...)
	return err
}
