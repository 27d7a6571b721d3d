package notice

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/problems"
)

// Limits of what one look reads.
const (
	sample = 100       // rows
	kinds  = 100       // of failures
	recent = time.Hour // of failures
)

// read reads what problems are found in, without the tasks that deliver notices: a notice
// must not be about notices.
func (n *Notices) read(ctx context.Context, client *queue.Client, now time.Time) (s problems.State, err error) {
	operator, err := client.Operator()
	if err != nil {
		return s, err
	}
	if s.Queues, err = operator.Queues(ctx); err != nil {
		return s, err
	}
	s.QueuesAt, s.RunningAt, s.SchedulesAt, s.MarksAt = now, now, now, now
	if s.Failures, err = n.failures(ctx, operator, now); err != nil {
		return s, err
	}
	if err := errors.Join(
		optional(&s.Gates, func() ([]queue.Gate, error) { return client.Gates(ctx) }),
		optional(&s.Limits, func() ([]queue.LimitUse, error) { return client.LimitUse(ctx, nil) }),
		optional(&s.Schedules, func() ([]*queue.Schedule, error) { return client.Schedules(ctx) }),
	); err != nil {
		return s, err
	}
	if n.cfg.SweepEvery > 0 {
		if s.Marks, err = operator.Touched(ctx); err != nil {
			return s, err
		}
	}
	if err := n.leaveOut(ctx, operator, s.Queues); err != nil {
		return s, err
	}
	return s, readRows(ctx, operator, &s)
}

// failures reads the kinds of failures of which enough are recent, each with all of its
// tasks, as the overview counts them. What is not recent is read if there are any only.
func (n *Notices) failures(ctx context.Context, operator queue.Operator, now time.Time) ([]queue.FailureGroup, error) {
	groups, err := operator.Failures(ctx, now.Add(-recent), kinds)
	groups = slices.DeleteFunc(groups, func(g queue.FailureGroup) bool { return g.Task == TaskName || g.Count < n.cfg.Failures })
	if err != nil || len(groups) == 0 {
		return nil, err
	}
	all, err := operator.Failures(ctx, time.Unix(0, 0), kinds)
	for i, g := range groups {
		same := func(a queue.FailureGroup) bool { return a.Task == g.Task && a.Group == g.Group && a.Count >= g.Count }
		if at := slices.IndexFunc(all, same); at >= 0 {
			groups[i] = all[at]
			groups[i].Recent = g.Count
		}
	}
	return groups, err
}

// optional reads a part that a store may not have.
func optional[T any](into *T, read func() (T, error)) (err error) {
	if *into, err = read(); errors.Is(err, queue.ErrUnsupported) {
		return nil
	}
	return err
}

// leaveOut subtracts the tasks that deliver notices from the counts of their queue.
func (n *Notices) leaveOut(ctx context.Context, operator queue.Operator, queues []queue.QueueStats) error {
	for i := range queues {
		q := &queues[i]
		if q.Queue != n.cfg.Queue || q.Pending+q.Stranded == 0 {
			continue
		}
		own, err := operator.CountMatching(ctx, queue.ActionRun, queue.Selection{Task: TaskName, Queue: q.Queue, Backend: q.Backend}, time.Time{}, 1000)
		if err != nil {
			return err
		}
		q.Pending, q.Stranded = max(0, q.Pending-own), max(0, q.Stranded-own)
	}
	return nil
}

// readRows reads the rows whose leases end first, and some of those that are stranded.
func readRows(ctx context.Context, operator queue.Operator, s *problems.State) error {
	running, stranded := 0, 0
	for _, q := range s.Queues {
		running, stranded = running+q.Running, stranded+q.Stranded
	}
	list := func(into *[]*queue.Row, selection queue.Selection) error {
		page, err := operator.List(ctx, queue.ListRequest{Selection: selection, Limit: sample})
		*into = append(*into, slices.DeleteFunc(page.Rows, func(row *queue.Row) bool { return row.Task == TaskName })...)
		return err
	}
	if running > 0 {
		if err := list(&s.Running, queue.Selection{View: queue.ViewRunning}); err != nil {
			return err
		}
	}
	if stranded == 0 {
		return nil
	}
	return errors.Join(
		list(&s.Stranded, queue.Selection{View: queue.ViewPending, Stranded: true}),
		list(&s.Stranded, queue.Selection{View: queue.ViewDelayed, Stranded: true}),
	)
}
