package queuetest

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Queues returns the stats of each queue that has live rows, or had some lately.
func (s *Store) Queues(ctx context.Context) (queues []queue.QueueStats, err error) {
	err = s.with(ctx, "count tasks by queue", func(now time.Time) error {
		queues = s.queueStats(now)
		return nil
	})
	return queues, err
}

// Failures groups the rows that have FAILED since then, the largest groups first.
func (s *Store) Failures(ctx context.Context, since time.Time, limit int) (groups []queue.FailureGroup, err error) {
	err = s.with(ctx, "group failed tasks", func(now time.Time) error {
		groups = s.failureGroups(now, since, since, limit)
		return nil
	})
	return groups, err
}

// Overview returns what Queues and Failures do, at one moment.
func (s *Store) Overview(ctx context.Context, r queue.OverviewRequest) (o queue.Overview, err error) {
	err = s.with(ctx, "count tasks by queue and failure", func(now time.Time) error {
		o = queue.Overview{Queues: s.queueStats(now), Failures: s.failureGroups(now, time.Time{}, r.Since, r.Groups)}
		return nil
	})
	return o, err
}

func (s *Store) queueStats(now time.Time) (queues []queue.QueueStats) {
	type name struct{ backend, queue string }
	found := make(map[name]*queue.QueueStats)
	of := func(r *row) *queue.QueueStats {
		n := name{r.Backend, r.Queue}
		if found[n] == nil {
			found[n] = &queue.QueueStats{Backend: n.backend, Queue: n.queue}
		}
		return found[n]
	}
	for _, r := range s.rows {
		lately := r.FinishedAt.After(now.Add(-time.Hour))
		switch {
		case r.Status == queue.StatusRunning:
			of(r).Running++
			if r.LeaseExpiresAt.Before(now) {
				of(r).Expired++
			}
		case r.Status == queue.StatusSuccessful && lately:
			of(r).Succeeded++
		case r.Status == queue.StatusFailed && lately:
			of(r).Failed++
		case r.Status == queue.StatusReady:
			q := of(r)
			if since, due := r.waits(now); due {
				q.Pending++
				q.OldestSince = earlier(q.OldestSince, since)
			} else {
				q.Delayed++
			}
			if s.isStranded(r, now) {
				q.Stranded++
			}
		}
	}
	for _, q := range found {
		queues = append(queues, *q)
	}
	slices.SortFunc(queues, func(a, b queue.QueueStats) int {
		return cmp.Or(cmp.Compare(a.Backend, b.Backend), cmp.Compare(a.Queue, b.Queue))
	})
	return queues
}

func (s *Store) failureGroups(now, since, recent time.Time, limit int) (groups []queue.FailureGroup) {
	type name struct{ task, group string }
	found := make(map[name]*queue.FailureGroup)
	for _, r := range s.rows {
		if r.Status != queue.StatusFailed || r.FinishedAt.Before(since) {
			continue
		}
		n := name{r.Task, r.ErrorGroup}
		if found[n] == nil {
			found[n] = &queue.FailureGroup{Task: n.task, Group: n.group}
		}
		g := found[n]
		g.Count, g.Last, g.Error = g.Count+1, later(g.Last, r.FinishedAt), max(g.Error, r.ErrorText)
		for number, counts := range map[*int]bool{
			&g.Recent: !r.FinishedAt.Before(recent), &g.LastHour: r.FinishedAt.After(now.Add(-time.Hour)), &g.Permanent: r.Attempts < r.MaxAttempts,
		} {
			if counts {
				*number++
			}
		}
	}
	for _, g := range found {
		groups = append(groups, *g)
	}
	slices.SortFunc(groups, func(a, b queue.FailureGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), b.Last.Compare(a.Last), cmp.Compare(a.Task, b.Task), cmp.Compare(a.Group, b.Group))
	})
	return groups[:min(max(0, limit), len(groups))]
}
