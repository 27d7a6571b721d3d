package admin

import (
	"context"
	"reflect"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
	"github.com/claimcheck-go/claimcheck/server/internal/problems"
)

// cautions returns what speaks against an action before it is done: tasks that nothing here
// can run, and errors that are permanent. rows are those that it is for, all of them if they
// were picked.
func (h *handler) cautions(v *visit, o order, rows []*queue.Row, begun time.Time) ([]lang.Text, error) {
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
		var list []lang.Text
		for name, n := range unknown {
			list = append(list, unknownCaution(name, n))
		}
		return append(list, permanentCaution(permanent)...), nil
	}
	stats, err := h.stats.latest(v.r.Context(), v.now, begun)
	if err != nil {
		return nil, err
	}
	if o.Action == queue.ActionRun {
		return h.runCautions(o.Selection, stats.Stranded, v.now), nil
	}
	return h.retryCautions(v.r.Context(), o.Selection, stats.Failures)
}

// retryCautions are about FAILED tasks that match. If the selection is that of some kinds of
// failures, their numbers are known; else those of one name are counted, with one statement.
func (h *handler) retryCautions(ctx context.Context, s queue.Selection, failures []queue.FailureGroup) (list []lang.Text, err error) {
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
				list = append(list, lang.M("Tasks named %s may be among these, too.", clip(name, 80)))
				continue
			}
			of := s
			of.Task = name
			if n, err = h.Client.CountMatching(ctx, queue.ActionRetry, of, countMost); err != nil {
				return nil, err
			}
		}
		if n > 0 {
			list = append(list, unknownCaution(name, n))
		}
	}
	if kinds {
		list = append(list, permanentCaution(permanent)...)
	}
	return list, nil
}

// runCautions are about READY tasks that match, as far as stranded ones were read.
func (h *handler) runCautions(s queue.Selection, stranded []*queue.Row, now time.Time) (list []lang.Text) {
	plain := s
	plain.Hidden = nil // it selects nothing here, and functions are never equal
	others := !reflect.DeepEqual(plain, queue.Selection{View: s.View, Task: s.Task, Queue: s.Queue, Stranded: s.Stranded})
	numbers := make(map[string]int)
	var names []string
	for _, row := range stranded {
		later := api.DueAt(row).After(now)
		if s.View == queue.ViewPending && later || s.View == queue.ViewDelayed && !later {
			continue
		}
		if h.registered(row.Task) || s.Queue != "" && s.Queue != row.Queue || !problems.MatchesName(s.Task, row.Task) {
			continue
		}
		if numbers[row.Task]++; numbers[row.Task] == 1 {
			names = append(names, row.Task)
		}
	}
	for _, name := range names {
		if others { // by which the rows were not chosen
			list = append(list, lang.M("Tasks named %s may be among these, too.", clip(name, 80)))
			continue
		}
		list = append(list, lang.M("At least %d of these are named %s, which is not registered here: they would wait until a program that registers it is deployed.", numbers[name], clip(name, 80)))
	}
	return list
}

func unknownCaution(name string, n int) lang.Text {
	return lang.M("%d of these are named %s, which is not registered here: they would wait until a program that registers it is deployed.", n, clip(name, 80))
}

func permanentCaution(n int) []lang.Text {
	if n == 0 {
		return nil
	}
	return []lang.Text{lang.M("%d of these have a permanent error: a retry fails the same way.", n)}
}

// prepare starts to read the first part of the statistics, if nothing is known, for a page
// that needs them later.
func (c *statsCache) prepare(ctx context.Context, now time.Time) {
	if !c.asRead(ctx, now).Known {
		c.refreshed(ctx, now, 1, c.refreshes)
	}
}

// latest returns the statistics as they were read last. If nothing is known, it waits for their
// first part, for what is left of the patience of a page that was begun at some time.
func (c *statsCache) latest(ctx context.Context, now, begun time.Time) (statsView, error) {
	if view := c.asRead(ctx, now); view.Known {
		return view, nil
	}
	return c.lookUntil(ctx, now, begun, 1, c.refreshes)
}

// asRead returns the statistics as they were read last.
func (c *statsCache) asRead(ctx context.Context, now time.Time) statsView {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view(ctx, now)
}
