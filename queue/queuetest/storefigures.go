package queuetest

import (
	"context"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// CountFigures counts the rows that have ended.
func (s *Store) CountFigures(ctx context.Context) (more bool, err error) {
	err = s.with(ctx, "count figures", func(now time.Time) error {
		for _, r := range s.rows {
			s.countOutcome(r)
		}
		s.keepFigures(now.Add(-queue.FiguresKept))
		return nil
	})
	return false, err
}

// countOutcome counts the end of a row that has ended, once: before the row is deleted or
// reopened at the latest.
func (s *Store) countOutcome(r *row) {
	if !r.Status.Final() || r.counted {
		return
	}
	var batch queue.FigureBatch
	batch.Add(&r.Row)
	hour := r.FinishedAt.Truncate(time.Hour)
	s.figures[hour] = merged(s.figures[hour], batch.Merged(hour, s.figures[hour]))
	r.counted = true
}

// merged returns figures of an hour with some that have changed.
func merged(figures, changed []queue.HourFigures) []queue.HourFigures {
	type names struct{ task, queue, backend string }
	isChanged := make(map[names]bool)
	for _, f := range changed {
		isChanged[names{f.Task, f.Queue, f.Backend}] = true
	}
	for _, f := range figures {
		if !isChanged[names{f.Task, f.Queue, f.Backend}] {
			changed = append(changed, f)
		}
	}
	return changed
}

// keepFigures deletes those of hours that ended before a time.
func (s *Store) keepFigures(since time.Time) {
	for hour := range s.figures {
		if hour.Add(time.Hour).Before(since) {
			delete(s.figures, hour)
		}
	}
}

// remove deletes a row.
func (s *Store) remove(r *row) {
	s.countOutcome(r)
	delete(s.rows, r.ID)
}

// Figures returns the figures of some hours, and what is not counted yet.
func (s *Store) Figures(ctx context.Context, r queue.FiguresRequest) (figures queue.Figures, err error) {
	err = s.with(ctx, "read figures", func(now time.Time) error {
		var counted []queue.HourFigures
		for hour, all := range s.figures {
			for i := range all {
				if !hour.Before(r.Since) && hour.Before(r.Until) && r.Selects(&all[i]) {
					counted = append(counted, all[i])
				}
			}
		}
		tail := queue.NewFiguresTail(r)
		for _, found := range s.rows {
			if found.Status.Final() && !found.counted {
				tail.AddPending(&found.Row)
			}
		}
		figures = tail.Figures(counted, now)
		return nil
	})
	return figures, err
}
