package admin

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/problems"
)

// cautions returns what speaks against an action before it is done: tasks that nothing here
// can run, and errors that are permanent. rows are those that it is for, all of them if they
// were picked.
func (h *handler) cautions(v *visit, o order, rows []*queue.Row) ([]string, error) {
	if o.Action != queue.ActionRetry && o.Action != queue.ActionRun {
		return nil, nil
	}
	if o.Picked > 0 {
		unknown, permanent := make(map[string]int), 0
		for _, row := range rows {
			if !h.registered(row.Task) {
				unknown[row.Task]++
			}
			if row.Status == queue.StatusFailed && row.Attempts < row.MaxAttempts {
				permanent++
			}
		}
		var list []string
		for name, n := range unknown {
			list = append(list, unknownCaution(name, n, ""))
		}
		return append(list, permanentCaution(permanent)...), nil
	}
	stats, err := h.stats.latest(v.r.Context(), v.now)
	if err != nil {
		return nil, err
	}
	if o.Action == queue.ActionRun {
		return h.runCautions(o.Selection, stats.Stranded), nil
	}
	return h.retryCautions(v.r.Context(), o.Selection, stats.Failures)
}

// retryCautions are about FAILED tasks that match. If the selection is that of some kinds of
// failures, their numbers are known; else those of one name are counted, with one statement.
func (h *handler) retryCautions(ctx context.Context, s queue.Selection, failures []queue.FailureGroup) (list []string, err error) {
	plain := s
	plain.Hidden = nil // it selects nothing here, and functions are never equal
	kinds := reflect.DeepEqual(plain, queue.Selection{View: s.View, Task: s.Task, Group: s.Group})
	numbers, permanent := make(map[string]int), 0
	for _, g := range failures {
		if (s.Group == "" || g.Group == s.Group) && problems.MatchesName(s.Task, g.Task) {
			numbers[g.Task] += g.Count
			permanent += g.Permanent
		}
	}
	for i, name := range problems.UnknownNames(failures, s.Task, h.registered) {
		n := numbers[name]
		if !kinds {
			if i > 0 {
				list = append(list, "Tasks named "+clip(name, 80)+" may be among them, too.")
				continue
			}
			of := s
			of.Task = name
			if n, err = h.Client.CountMatching(ctx, queue.ActionRetry, of, countMost); err != nil {
				return nil, err
			}
		}
		if n > 0 {
			list = append(list, unknownCaution(name, n, ""))
		}
	}
	if kinds {
		list = append(list, permanentCaution(permanent)...)
	}
	return list, nil
}

// runCautions are about READY tasks that match, as far as stranded ones were read.
func (h *handler) runCautions(s queue.Selection, stranded []*queue.Row) (list []string) {
	numbers := make(map[string]int)
	var names []string
	for _, row := range stranded {
		if h.registered(row.Task) || s.Queue != "" && s.Queue != row.Queue || !problems.MatchesName(s.Task, row.Task) {
			continue
		}
		if numbers[row.Task]++; numbers[row.Task] == 1 {
			names = append(names, row.Task)
		}
	}
	for _, name := range names {
		list = append(list, unknownCaution(name, numbers[name], "At least "))
	}
	return list
}

func unknownCaution(name string, n int, least string) string {
	return fmt.Sprintf("%s%s of them %s named %s, which is not registered here: nothing here can run %s until a program that knows the name is deployed.",
		least, num(n), isAre(n), clip(name, 80), map[bool]string{true: "it", false: "them"}[n == 1])
}

func permanentCaution(n int) []string {
	switch n {
	case 0:
		return nil
	case 1:
		return []string{"The error of 1 of them is permanent: retried as it is, it fails again."}
	}
	return []string{fmt.Sprintf("The errors of %s of them are permanent: retried as they are, they fail again.", num(n))}
}

// latest returns the statistics as they were read last, and reads the first part of them if
// nothing is known.
func (c *statsCache) latest(ctx context.Context, now time.Time) (statsView, error) {
	c.mu.Lock()
	view := c.view(ctx, now)
	c.mu.Unlock()
	if view.Known {
		return view, nil
	}
	return c.lookWithin(ctx, now, 1)
}
