package problems

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// sweepless reports whether the last sweep is three intervals ago.
func (f *finder) sweepless() bool {
	last, seen := f.Marks[queue.TouchSwept]
	return f.SweepEvery > 0 && f.Marks != nil && (!seen || f.MarksAt.Sub(last) > 3*f.SweepEvery+queue.TouchEvery)
}

// sweeper warns when there are no sweeps, and of the schedules that are late for it.
func (f *finder) sweeper() []Problem {
	if !f.sweepless() {
		return nil
	}
	last, seen := f.Marks[queue.TouchSwept]
	p := Problem{Kind: Sweeper, Title: "The sweeper has never been seen"}
	if seen {
		p.Title = "The sweeper was last seen " + api.Span(f.MarksAt.Sub(last)) + " ago"
	}
	p.Why = fmt.Sprintf("It should run every %s. Until it does, tasks whose ticket was lost, or whose worker stopped, stay where they are. ", api.Span(f.SweepEvery))
	late := 0
	for _, s := range f.Schedules {
		if Late(s, f.SchedulesAt) {
			late++
		}
	}
	if late > 0 {
		p.Why += fmt.Sprintf("%s %s late. ", api.CountOf(late, "schedule"), api.IsAre(late))
	}
	p.Why = strings.TrimSpace(p.Why + f.Sweeper)
	return []Problem{p}
}

// expired reports tasks whose lease has expired.
func (f *finder) expired() []Problem {
	n := 0
	for _, q := range f.Queues {
		n += q.Expired
	}
	if n == 0 {
		return nil
	}
	first := ""
	if len(f.Running) > 0 && f.Running[0].LeaseExpiresAt.Before(f.RunningAt) {
		first = fmt.Sprintf("; the first lease expired %s ago", api.Span(f.RunningAt.Sub(f.Running[0].LeaseExpiresAt)))
	}
	return []Problem{{
		Kind: Lost, Count: n,
		Title:   fmt.Sprintf("The %s of %s %s expired", map[bool]string{true: "lease", false: "leases"}[n == 1], api.CountOf(n, "task"), api.HasHave(n)),
		Why:     "No result was stored in time, so the worker may be gone" + first + api.OneMany(n, ". The sweeper, a worker or the next delivery takes it back; you can do it now.", ". The sweeper, a worker or the next delivery takes them back; you can do it now."),
		Show:    page("/tasks", "view", string(queue.ViewRunning)),
		Act:     page("/confirm", "view", string(queue.ViewRunning), "all", string(queue.ActionRequeue)),
		ActName: api.OneMany(n, "Requeue it", "Requeue them"),
	}}
}

// unknownTasks are stranded rows that cannot be run, since their names are not registered.
func (f *finder) unknownTasks() (list []Problem) {
	names := slices.Collect(maps.Keys(f.names))
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(f.names[b]-f.names[a], strings.Compare(a, b)) })
	for _, name := range names[:min(3, len(names))] {
		list = append(list, Problem{
			Kind: UnknownTask, Subject: name, Count: f.names[name],
			Title: "No task named " + api.Clip(name, 80) + " is registered here",
			Why:   f.waiting(f.names[name]) + " until a program that knows the name is deployed. If it was renamed, queue.Alias keeps the old name working.",
			Show:  page("/tasks", "task", name, "stranded", "1"),
		})
	}
	return list
}

// unknownKeys are stranded rows that cannot be run, since this program lacks their keys.
func (f *finder) unknownKeys() (list []Problem) {
	for _, key := range slices.Sorted(maps.Keys(f.keys)) {
		list = append(list, Problem{
			Kind: UnknownKey, Subject: key, Count: f.keys[key],
			Title: "Tasks are encrypted with key " + api.Clip(key, 80) + ", which this program does not have",
			Why:   f.waiting(f.keys[key]) + " until a program that has the key is deployed, and their arguments and results cannot be shown here.",
		})
	}
	return list
}

// waiting says how many of the stranded rows wait, as far as they were read.
func (f *finder) waiting(n int) string {
	verb := map[bool]string{true: " waits", false: " wait"}[n == 1]
	if f.sampled {
		return "At least " + api.CountOf(n, "task") + verb
	}
	return api.CountOf(n, "task") + verb
}
