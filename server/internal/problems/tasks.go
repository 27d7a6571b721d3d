package problems

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
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
	p := Problem{Kind: Sweeper, Title: f.t("The sweeper has never run")}
	if seen {
		p.Title = f.t("The sweeper last ran %s ago", f.span(f.MarksAt.Sub(last)))
	}
	p.Why = lang.Sentences(f.t("It should run every %s.", f.span(f.SweepEvery)),
		f.t("Without it, tasks whose ticket was lost or whose worker is gone are not run again."))
	late := 0
	for _, s := range f.Schedules {
		if Late(s, f.SchedulesAt) {
			late++
		}
	}
	if late > 0 {
		p.Why = lang.Sentences(p.Why, f.t("%d schedules are late.", late))
	}
	p.Why = lang.Sentences(p.Why, f.Printer.Known(f.Sweeper))
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
		first = f.t("The first lease expired %s ago.", f.span(f.RunningAt.Sub(f.Running[0].LeaseExpiresAt)))
	}
	return []Problem{{
		Kind: Lost, Count: n,
		Title: f.t("The leases of %d tasks have expired", n),
		Why: lang.Sentences(f.t("No result was stored in time, so the worker may be gone."), first,
			f.t("The sweeper, a worker or the next delivery requeues such a task; you can do it now.")),
		Show:    page("/tasks", "view", string(queue.ViewRunning)),
		Act:     page("/confirm", "view", string(queue.ViewRunning), "all", string(queue.ActionRequeue)),
		ActName: f.t("Requeue"),
	}}
}

// unknownTasks are stranded rows that cannot be run, since their names are not registered.
func (f *finder) unknownTasks() (list []Problem) {
	names := slices.Collect(maps.Keys(f.names))
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(f.names[b]-f.names[a], strings.Compare(a, b)) })
	for _, name := range names[:min(3, len(names))] {
		list = append(list, Problem{
			Kind: UnknownTask, Subject: name, Count: f.names[name],
			Title: f.t("No task named %s is registered here", api.Clip(name, 80)),
			Why: lang.Sentences(f.waiting(f.names[name]), f.t("Deploy a program that registers the name."),
				f.t("After a rename, queue.Alias keeps the old name working.")),
			Show: page("/tasks", "task", name, "stranded", "1"),
		})
	}
	return list
}

// unknownKeys are stranded rows that cannot be run, since this program lacks their keys.
func (f *finder) unknownKeys() (list []Problem) {
	for _, key := range slices.Sorted(maps.Keys(f.keys)) {
		list = append(list, Problem{
			Kind: UnknownKey, Subject: key, Count: f.keys[key],
			Title: f.t("Encryption key %s is missing here", api.Clip(key, 80)),
			Why:   lang.Sentences(f.waiting(f.keys[key]), f.t("Deploy a program that has the key. Arguments and results encrypted with it cannot be shown here.")),
		})
	}
	return list
}

// waiting says how many of the stranded rows wait, as far as they were read.
func (f *finder) waiting(n int) string {
	if f.sampled {
		return f.t("At least %d tasks wait.", n)
	}
	return f.t("%d tasks wait.", n)
}
