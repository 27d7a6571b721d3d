package queuetest

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// actions are what an action makes of a row.
var actions = map[queue.Action]func(r *row, now time.Time){
	queue.ActionRun: func(r *row, now time.Time) {
		r.KeepTicket(now)
		r.RunAfter, r.RetryAt, r.DispatchError = time.Time{}, now, ""
		r.DispatchDueAt = now.Add(queue.DispatchGrace)
		r.ready(now)
	},
	queue.ActionRetry: func(r *row, now time.Time) {
		r.FinishedAt, r.DeleteAt, r.RetryAt, r.ClaimID = time.Time{}, time.Time{}, later(now, r.RunAfter), uuid.Nil
		r.MaxAttempts, r.Interruptions = max(r.MaxAttempts, r.Attempts+1), 0
		r.DispatchError, r.DispatchTries, r.DispatchDueAt = "", 0, now.Add(queue.DispatchGrace)
		r.ready(now)
	},
	queue.ActionRequeue: func(r *row, now time.Time) {
		r.reclaim(now)
		r.MaxAttempts = max(r.MaxAttempts, r.Attempts+1)
	},
	queue.ActionCancel: (*row).cancel,
	queue.ActionDelete: func(*row, time.Time) {},
}

// acted is the action that was applied to a row last: before which time the rows were that
// it was for, and how many entries the audit log had, since a Clock stands still.
type acted struct {
	action  queue.Action
	before  time.Time
	audited int
}

// isFor reports whether an action is for a row, and has not been applied to it since a
// time, but for what a retry requires.
func (s *Store) isFor(a queue.Action, r *row, before, now time.Time) bool {
	switch a {
	case queue.ActionRun:
		grace := queue.DispatchGrace
		madeDue := r.hold == free && r.DispatchDueAt.After(before.Add(grace)) && !r.DispatchDueAt.After(now.Add(grace))
		refused := r.DispatchError != "" && r.DispatchDueAt.After(before) && !r.DispatchDueAt.After(now)
		return r.Status == queue.StatusReady && !madeDue && !refused && !s.hasRunSince(r, before) && r.acted != acted{a, before, len(s.audit)}
	case queue.ActionRetry:
		return r.Status == queue.StatusFailed && !r.FinishedAt.After(before)
	case queue.ActionRequeue:
		return r.Status == queue.StatusRunning && !r.LeaseExpiresAt.After(now)
	case queue.ActionCancel:
		return !r.Status.Final() && !r.EnqueuedAt.After(before)
	}
	return r.Status != queue.StatusRunning && !r.EnqueuedAt.After(before)
}

// hasRunSince reports whether a row was claimed after a time. A Clock stands still, so that
// what it says is the same time was before.
func (s *Store) hasRunSince(r *row, before time.Time) bool {
	if s.clock != nil {
		return r.LastAttemptedAt.After(before)
	}
	return !r.LastAttemptedAt.Before(before)
}

// matching returns up to limit selected rows that an action is for and that more accepts.
func (s *Store) matching(a queue.Action, c queue.Selection, before, now time.Time, limit int, more func(*row) bool) []*row {
	if before.IsZero() {
		before = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return s.find(limit, inClaimOrder, func(r *row) bool {
		return r.isIn(c.View) && s.isFor(a, r, before, now) && s.selects(&c, r, now) && more(r)
	})
}

// canRetry reports whether a FAILED row can be live again.
func (s *Store) canRetry(r *row, now time.Time) bool { return !r.Dropped() && s.twin(r, now) == nil }

func checkAction(a queue.Action, c *queue.Selection) error {
	if actions[a] == nil {
		return fmt.Errorf("%w: action %q is not known", queue.ErrInvalid, a)
	}
	if c.ByContents() {
		return fmt.Errorf("%w: a store does not act by the contents of rows: queue.Client finds them first", queue.ErrInvalid)
	}
	return c.Check()
}

// CountMatching counts the rows that an action would change, up to limit.
func (s *Store) CountMatching(ctx context.Context, a queue.Action, c queue.Selection, before time.Time, limit int) (int, error) {
	return s.countMatching(ctx, a, c, before, limit, func(r *row, now time.Time) bool { return a != queue.ActionRetry || s.canRetry(r, now) })
}

// CountTaken counts the FAILED rows that a retry skips because of their keys.
func (s *Store) CountTaken(ctx context.Context, c queue.Selection, before time.Time, limit int) (int, error) {
	return s.countMatching(ctx, queue.ActionRetry, c, before, limit, func(r *row, now time.Time) bool { return !r.Dropped() && s.twin(r, now) != nil })
}

// CountDropped counts the FAILED rows that a retry skips because they have no arguments.
func (s *Store) CountDropped(ctx context.Context, c queue.Selection, before time.Time, limit int) (int, error) {
	return s.countMatching(ctx, queue.ActionRetry, c, before, limit, func(r *row, _ time.Time) bool { return r.Dropped() })
}

func (s *Store) countMatching(ctx context.Context, a queue.Action, c queue.Selection, before time.Time, limit int, more func(*row, time.Time) bool) (n int, err error) {
	if err := checkAction(a, &c); err != nil {
		return 0, err
	}
	err = s.with(ctx, "count tasks", func(now time.Time) error {
		n = len(s.matching(a, c, before, now, limit, func(r *row) bool { return more(r, now) }))
		return nil
	})
	return n, err
}

// Act changes up to limit selected rows that the action is for. Of several FAILED rows with
// one key, a retry changes the first.
func (s *Store) Act(ctx context.Context, a queue.Action, c queue.Selection, before time.Time, limit int) (changed []*queue.Row, err error) {
	if err := checkAction(a, &c); err != nil {
		return nil, err
	}
	err = s.with(ctx, string(a)+" tasks", func(now time.Time) error {
		for _, r := range s.matching(a, c, before, now, len(s.rows), func(*row) bool { return true }) {
			if len(changed) >= limit {
				break
			}
			if a == queue.ActionRetry && !s.canRetry(r, now) {
				continue
			}
			if a == queue.ActionRetry {
				s.countOutcome(r)
			}
			actions[a](r, now)
			r.acted = acted{a, before, len(s.audit)}
			changed = append(changed, r.light())
			if a == queue.ActionDelete {
				s.remove(r)
			}
		}
		return nil
	})
	return changed, err
}

// KeyHolder returns the row because of whose key a FAILED row is not retried.
func (s *Store) KeyHolder(ctx context.Context, of *queue.Row) (holder *queue.Row, err error) {
	err = s.with(ctx, "read a unique key", func(now time.Time) error {
		if twin := s.twin(&row{Row: *of}, now); twin != nil {
			holder = twin.copied()
		}
		return nil
	})
	return holder, err
}

// Requeue recovers RUNNING rows whose worker is gone.
func (s *Store) Requeue(ctx context.Context, r queue.RequeueRequest) (done queue.RequeueResult, err error) {
	err = s.with(ctx, "requeue tasks", func(now time.Time) error {
		byLease := func(a, b *row) int { return a.LeaseExpiresAt.Compare(b.LeaseExpiresAt) }
		for _, found := range s.find(r.Limit, byLease, func(f *row) bool {
			return s.isFor(queue.ActionRequeue, f, now, now) && !f.LastAttemptedAt.After(now.Add(-r.OlderThan)) && f.passes(r.Filter)
		}) {
			most := found.MaxAttempts
			if r.MaxAttempts > 0 {
				most = r.MaxAttempts
			}
			again := !r.MarkFailed && found.Attempts < most
			if again {
				done.Ready++
			} else {
				done.Failed++
			}
			switch {
			case r.DryRun:
			case again:
				actions[queue.ActionRequeue](found, now)
			default:
				if err := s.insertLetter(found.loseWorker(now), now); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return done, err
}

// passes reports whether a filter selects a row.
func (r *row) passes(f queue.Filter) bool {
	return (f.Queue == "" || f.Queue == r.Queue) && (f.Backend == "" || f.Backend == r.Backend)
}
