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

// sweeper warns when the last sweep is three intervals ago.
func (f finder) sweeper() []Problem {
	last, seen := f.Marks[queue.TouchSwept]
	if f.SweepEvery == 0 || f.Marks == nil || seen && f.MarksAt.Sub(last) <= 3*f.SweepEvery+queue.TouchEvery {
		return nil
	}
	p := Problem{Kind: Sweeper, Title: "The sweeper has never been seen"}
	if seen {
		p.Title = "The sweeper was last seen " + api.Span(f.MarksAt.Sub(last)) + " ago"
	}
	p.Why = strings.TrimSpace(fmt.Sprintf("It should run every %s. Until it does, tasks whose ticket was lost, or whose worker stopped, stay where they are. ",
		api.Span(f.SweepEvery)) + f.Sweeper)
	return []Problem{p}
}

// expired reports tasks whose lease has expired.
func (f finder) expired() []Problem {
	n := 0
	for _, row := range f.Running {
		if row.LeaseExpiresAt.Before(f.RunningAt) {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	some := api.CountOf(n, "task")
	if n == f.Sample {
		some += " or more"
	}
	return []Problem{{
		Kind: Lost, Count: n,
		Title: fmt.Sprintf("The %s of %s %s expired", map[bool]string{true: "lease", false: "leases"}[n == 1], some, api.HasHave(n)),
		Why: fmt.Sprintf("No result was stored in time, so the worker may be gone; the first lease expired %s ago. The sweeper, a worker or the next delivery takes them back; you can do it now.",
			api.Span(f.RunningAt.Sub(f.Running[0].LeaseExpiresAt))),
		Show:    page("/tasks", "view", string(queue.ViewRunning)),
		Act:     page("/confirm", "view", string(queue.ViewRunning), "all", string(queue.ActionRequeue)),
		ActName: "Requeue them",
	}}
}

// failing reports kinds of failures with many tasks. Texts of errors, which may have
// arguments in them, are left out.
func (f finder) failing() (list []Problem) {
	for _, g := range f.Failures {
		if f.Failing == 0 || g.Count < f.Failing {
			continue
		}
		list = append(list, Problem{
			Kind: Failing, Subject: g.Task + " " + g.Group, Count: g.Count,
			Title: fmt.Sprintf("%s named %s FAILED for one reason", api.CountOf(g.Count, "task"), api.Clip(g.Task, 80)),
			Why:   fmt.Sprintf("The latest FAILED %s ago. When the cause is fixed, they can be retried together.", api.Span(max(0, f.now.Sub(g.Last)))),
			Show:  page("/tasks", "view", string(queue.ViewFailed), "task", g.Task, "group", g.Group),
		})
	}
	return list
}

// unknownTasks are rows that cannot be run, since their names are not registered, among
// the rows that were read.
func (f finder) unknownTasks() (list []Problem) {
	found := make(map[string]int)
	for _, row := range slices.Concat(f.Stranded, f.Running) {
		if !f.Registered(row.Task) {
			found[row.Task]++
		}
	}
	var names []string
	for name := range found {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(found[b]-found[a], strings.Compare(a, b)) })
	for _, name := range names[:min(3, len(names))] {
		list = append(list, Problem{
			Kind: UnknownTask, Subject: name, Count: found[name],
			Title: "No task named " + api.Clip(name, 80) + " is registered here",
			Why:   "Rows of this name wait until a program that knows the name is deployed. If it was renamed, queue.Alias keeps the old name working.",
			Show:  page("/tasks", "task", name),
		})
	}
	return list
}

// unknownKeys are rows that cannot be run, since this program lacks their keys, among the
// rows that were read.
func (f finder) unknownKeys() (list []Problem) {
	found := make(map[string]int)
	for _, row := range slices.Concat(f.Stranded, f.Running) {
		if !f.Knows(row) {
			found[row.KeyID]++
		}
	}
	for _, key := range slices.Sorted(maps.Keys(found)) {
		list = append(list, Problem{
			Kind: UnknownKey, Subject: key, Count: found[key],
			Title: "Tasks are encrypted with key " + api.Clip(key, 80) + ", which this program does not have",
			Why:   "They wait until a program that has the key is deployed, and their arguments and results cannot be shown here.",
		})
	}
	return list
}
