package queuetest

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// waits returns since when a READY row has been due; false if it is not due.
func (r *row) waits(now time.Time) (since time.Time, due bool) {
	at := r.RetryAt
	if at.IsZero() {
		at = r.RunAfter
	}
	return later(r.EnqueuedAt, at), r.hold == free || !at.After(now)
}

// Stats counts rows by state.
func (s *Store) Stats(ctx context.Context, f queue.Filter) (stats queue.Stats, err error) {
	err = s.with(ctx, "count tasks", func(now time.Time) error {
		for _, r := range s.rows {
			if !r.passes(f) {
				continue
			}
			switch r.Status {
			case queue.StatusRunning:
				stats.Running++
			case queue.StatusSuccessful:
				stats.Successful++
			case queue.StatusFailed:
				stats.Failed++
			case queue.StatusCancelled:
				stats.Cancelled++
			case queue.StatusReady:
				since, due := r.waits(now)
				if due {
					stats.Pending++
					stats.OldestPendingSince = earlier(stats.OldestPendingSince, since)
					stats.NewestPendingSince = later(stats.NewestPendingSince, since)
				} else {
					stats.Delayed++
				}
				if s.isStranded(r, now) {
					stats.Stranded++
					stats.OldestStrandedSince = earlier(stats.OldestStrandedSince, earlier(r.DispatchDueAt, since))
				}
			}
		}
		return nil
	})
	return stats, err
}

// earlier is the earlier of two times; the zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// purgeable reports whether a purge deletes a row.
func purgeable(r queue.PurgeRequest, f *row, now time.Time) bool {
	return slices.Contains(r.Final(), f.Status) && !f.FinishedAt.After(now.Add(-r.Age)) && (r.Task == "" || r.Task == f.Task) &&
		!f.DeleteAt.After(now) && !f.UniqueUntil.After(now)
}

// Purge deletes final rows, those first that ended first, of a window.
func (s *Store) Purge(ctx context.Context, r queue.PurgeRequest) (result queue.PurgeResult, err error) {
	err = s.with(ctx, "purge tasks", func(now time.Time) error {
		rows, end := s.purgeWindow(r)
		for _, found := range rows {
			switch {
			case !purgeable(r, found, now):
			case result.Deleted < r.Limit:
				s.remove(found)
				result.Deleted++
				result.Next = found.FinishedAt.Add(-time.Microsecond) // others may have ended with it
			}
		}
		if result.Deleted < r.Limit {
			result.Next = end
		}
		return nil
	})
	return result, err
}

// purgeWindow returns the rows that a purge reads, those first that ended first, and when
// the last of them ended if there may be more.
func (s *Store) purgeWindow(r queue.PurgeRequest) (rows []*row, end time.Time) {
	window := cmp.Or(r.Window, queue.PurgeWindow)
	byEnd := func(a, b *row) int { return a.FinishedAt.Compare(b.FinishedAt) }
	for _, status := range r.Final() {
		some := s.find(len(s.rows), byEnd, func(f *row) bool { return f.Status == status && f.FinishedAt.After(r.After) })
		if n := window; n < len(some) {
			for n < len(some) && some[n].FinishedAt.Equal(some[n-1].FinishedAt) {
				n++
			}
			some = some[:n]
			end = earlier(end, some[n-1].FinishedAt)
		}
		rows = append(rows, some...)
	}
	if !end.IsZero() {
		rows = slices.DeleteFunc(rows, func(f *row) bool { return f.FinishedAt.After(end) })
	}
	slices.SortStableFunc(rows, byEnd)
	return rows, end
}

// CountPurgeable returns how many rows Purge would delete in all.
func (s *Store) CountPurgeable(ctx context.Context, r queue.PurgeRequest) (n int, err error) {
	err = s.with(ctx, "count tasks to purge", func(now time.Time) error {
		for _, found := range s.rows {
			if purgeable(r, found, now) {
				n++
			}
		}
		return nil
	})
	return n, err
}

// Working reports whether any row is RUNNING.
func (s *Store) Working(ctx context.Context) (working bool, err error) {
	err = s.with(ctx, "find running tasks", func(time.Time) error {
		working = s.any(func(r *row) bool { return r.Status == queue.StatusRunning })
		return nil
	})
	return working, err
}

// Touch records that the event of this name happened now.
func (s *Store) Touch(ctx context.Context, name string) error {
	return s.with(ctx, "touch", func(now time.Time) error {
		s.touched[name] = now
		return nil
	})
}

// Touched returns when each event last happened.
func (s *Store) Touched(ctx context.Context) (all map[string]time.Time, err error) {
	err = s.with(ctx, "read marks", func(time.Time) error {
		all = maps.Clone(s.touched)
		return nil
	})
	return all, err
}

// RecordAudit stores an entry of the audit log.
func (s *Store) RecordAudit(ctx context.Context, e queue.AuditEntry) (at time.Time, err error) {
	err = s.with(ctx, "write the audit log", func(now time.Time) error {
		i := slices.IndexFunc(s.audit, func(old queue.AuditEntry) bool { return old.ID == e.ID })
		if i < 0 {
			e.At = now
			s.audit = append(s.audit, e)
			i = len(s.audit) - 1
		}
		entry := &s.audit[i]
		entry.Done, entry.Failed, entry.Ended = e.Done, e.Failed, e.Ended
		at = entry.At
		return nil
	})
	return at, err
}

// AuditLog returns the latest entries of the audit log.
func (s *Store) AuditLog(ctx context.Context, task uuid.UUID, before time.Time, limit int) (entries []queue.AuditEntry, err error) {
	err = s.with(ctx, "read the audit log", func(time.Time) error {
		for _, e := range slices.Backward(s.audit) {
			if len(entries) < limit && (task == uuid.Nil || e.Task == task) && (before.IsZero() || e.At.Before(before)) {
				entries = append(entries, e)
			}
		}
		return nil
	})
	return entries, err
}

// ReadAudit returns a page of the audit log.
func (s *Store) ReadAudit(ctx context.Context, r queue.AuditRequest) (page queue.AuditPage, err error) {
	var after queue.Cursor
	if r.After != "" {
		if after, err = queue.ParseCursor(r.After); err != nil {
			return page, err
		}
	}
	order := func(a, b queue.Cursor) int { return cmp.Or(b.At.Compare(a.At), bytes.Compare(b.ID[:], a.ID[:])) } // the latest first
	position := func(e queue.AuditEntry) queue.Cursor { return queue.Cursor{ID: e.ID, At: e.At} }
	err = s.with(ctx, "read the audit log", func(time.Time) error {
		for _, e := range s.audit {
			if !e.At.Before(r.Since) && (r.Until.IsZero() || e.At.Before(r.Until)) && (r.After == "" || order(after, position(e)) < 0) {
				page.Entries = append(page.Entries, e)
			}
		}
		slices.SortFunc(page.Entries, func(a, b queue.AuditEntry) int { return order(position(a), position(b)) })
		if len(page.Entries) > r.Limit {
			page.Entries = page.Entries[:r.Limit]
			page.Next = position(page.Entries[r.Limit-1]).String()
		}
		return nil
	})
	return page, err
}

// CountReady counts the READY rows of a queue, up to limit.
func (s *Store) CountReady(ctx context.Context, t queue.Tx, backend, name string, limit int) (n int, err error) {
	err = s.withOrIn(ctx, "count backlog", t, func(time.Time) error {
		n = len(s.find(limit, inClaimOrder, func(r *row) bool {
			return r.Status == queue.StatusReady && r.Backend == backend && r.Queue == name
		}))
		return nil
	})
	return n, err
}

// Existing reports which rows an insert would not store.
func (s *Store) Existing(ctx context.Context, t queue.Tx, rows ...*queue.NewRow) (exist []bool, err error) {
	err = s.withOrIn(ctx, "look for tasks", t, func(now time.Time) error {
		c := changes{s.rows, make(map[uuid.UUID]*row)}
		for _, r := range rows {
			exists := c.get(r.ID) != nil || c.holder(r.Row, now) != nil
			if !exists {
				c.new[r.ID] = newRow(r, now)
			}
			exist = append(exist, exists)
		}
		return nil
	})
	return exist, err
}
