package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// The columns of a schedule: its name, and what a change writes.
const (
	scheduleValueColumns = `task_path, spec, zone, args, queue_name, backend_name, priority, options, catch_up, overlap,
	paused_at, paused_by, program, definition, removed_at, anchored_at, next_at, last_at, last_task_id, made, created_at, changed_at`
	scheduleColumns = `name, ` + scheduleValueColumns
)

// scanSchedule reads scheduleColumns, and more.
func scanSchedule(scan func(...any) error, more ...any) (*queue.Schedule, error) {
	s := new(queue.Schedule)
	var args, options string
	err := scan(append([]any{
		&s.Name, &s.Task, &s.Spec, &s.Zone, &args, &s.Queue, &s.Backend, &s.Priority, &options, &s.CatchUp, &s.Overlap,
		at(&s.PausedAt), &s.PausedBy, &s.Program, &s.Definition, at(&s.RemovedAt), at(&s.AnchoredAt), at(&s.NextAt), at(&s.LastAt),
		idOrNil{&s.LastTaskID}, &s.Made, at(&s.CreatedAt), at(&s.ChangedAt),
	}, more...)...)
	if err != nil {
		return nil, err
	}
	s.Args = json.RawMessage(args)
	if err := json.Unmarshal([]byte(options), &s.Options); err != nil {
		return nil, fmt.Errorf("options of schedule %s: %w", s.Name, err)
	}
	return s, nil
}

// scheduleValues are those of scheduleValueColumns.
func scheduleValues(s *queue.Schedule) ([]any, error) {
	options, err := json.Marshal(s.Options)
	if err != nil {
		return nil, err
	}
	return []any{
		s.Task, s.Spec, s.Zone, string(s.Args), s.Queue, s.Backend, s.Priority, string(options), string(s.CatchUp), string(s.Overlap),
		micros(s.PausedAt), s.PausedBy, s.Program, s.Definition, micros(s.RemovedAt), micros(s.AnchoredAt), micros(s.NextAt), micros(s.LastAt),
		nonZero(s.LastTaskID), s.Made, micros(s.CreatedAt), micros(s.ChangedAt),
	}, nil
}

// idOrNil scans a UUID; NULL is the zero one.
type idOrNil struct{ id *uuid.UUID }

func (i idOrNil) Scan(value any) error {
	*i.id = uuid.Nil
	if value == nil {
		return nil
	}
	return i.id.Scan(value)
}

// Schedules returns all schedules by name.
func (s *Store) Schedules(ctx context.Context) (all []*queue.Schedule, err error) {
	err = s.read(ctx, "read schedules", func(conn querier) error {
		all = nil
		return each(ctx, conn, func(scan func(...any) error) error {
			var status string
			schedule, err := scanSchedule(scan, &status)
			if err == nil {
				schedule.LastStatus = queue.Status(status)
				all = append(all, schedule)
			}
			return err
		}, `SELECT `+scheduleColumns+`, coalesce((SELECT status FROM claimcheck_tasks WHERE id = last_task_id), '') FROM claimcheck_schedules ORDER BY name`)
	})
	return all, err
}

// DueSchedules returns the schedules that are due, the earliest first. Index:
// claimcheck_schedules_next, from its start.
func (s *Store) DueSchedules(ctx context.Context, ahead time.Duration, limit int) (names []string, next time.Duration, err error) {
	err = s.read(ctx, "find schedules that are due", func(conn querier) error {
		names, next = nil, 0
		now, err := conn.now(ctx)
		if err != nil {
			return err
		}
		return each(ctx, conn, func(scan func(...any) error) error {
			var name string
			var due time.Time
			if err := scan(&name, at(&due)); err != nil {
				return err
			}
			switch {
			case !due.After(now.Add(ahead)) && len(names) < limit:
				names = append(names, name)
			case next == 0:
				next = max(due.Sub(now), time.Microsecond)
			}
			return nil
		}, `SELECT name, next_at FROM claimcheck_schedules WHERE next_at IS NOT NULL ORDER BY next_at LIMIT ?`, limit+1)
	})
	return names, next, err
}

// Occurrences returns the latest occurrences of a schedule, newest first. Index: the
// primary keys.
func (s *Store) Occurrences(ctx context.Context, name string, limit int) (list []queue.Occurrence, err error) {
	err = s.read(ctx, "read occurrences", func(conn querier) error {
		list = nil
		return each(ctx, conn, func(scan func(...any) error) error {
			var o queue.Occurrence
			err := scan(at(&o.ScheduledFor), idOrNil{&o.TaskID}, &o.Skipped, &o.Status, at(&o.EnqueuedAt), at(&o.StartedAt), at(&o.FinishedAt), &o.ErrorText)
			list = append(list, o)
			return err
		}, `SELECT o.scheduled_for, o.task_id, coalesce(o.skipped, ''), coalesce(t.status, ''), t.enqueued_at, t.started_at, t.finished_at, coalesce(t.error_text, '')
FROM claimcheck_occurrences AS o LEFT JOIN claimcheck_tasks AS t ON t.id = o.task_id AND o.skipped IS NULL
WHERE o.schedule = ? ORDER BY o.scheduled_for DESC LIMIT ?`, name, limit)
	})
	return list, err
}
