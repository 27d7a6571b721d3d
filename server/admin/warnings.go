package admin

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// warning is a problem that does not resolve itself, with its cause and a remedy.
type warning struct {
	Title, Why string
	Show       string // address of the rows; empty: there is nothing to show
	Act        string // address of the confirmation; empty: nothing to be done here
	ActName    string
}

// unserved is how long the oldest task of a queue waits until the queue counts as not
// served, if nothing runs there either.
const unserved = 5 * time.Minute

// warnings returns the problems in the statistics, the worst first. Lateness is
// measured at the time at which they were read.
func (h *handler) warnings(b statsView, t totals, now time.Time) (list []warning) {
	if b.SchemaErr != nil {
		list = append(list, warning{Title: "The database schema is behind", Why: b.SchemaErr.Error()})
	}
	if w, ok := h.sweeperWarning(b.Marks, b.MarksAt); ok {
		list = append(list, w)
	}
	if t.Stranded > 0 {
		list = append(list, h.strandedWarning(b.Stranded, t.Stranded, now))
	}
	if w, ok := h.expiredWarning(b.Running, b.RunningAt); ok {
		list = append(list, w)
	}
	list = append(list, h.unknownWarnings(b)...)
	list = append(list, h.keyWarnings(b)...)
	list = append(list, h.pausedWarnings(b)...)
	list = append(list, h.fullWarnings(b)...)
	list = append(list, h.scheduleWarnings(b)...)
	for _, q := range b.Queues {
		if b.paused(q.Queue) || b.rateReached(q.Queue) {
			continue
		}
		if q.Pending > 0 && q.Running == 0 && q.Succeeded+q.Failed == 0 && b.QueuesAt.Sub(q.OldestSince) > unserved {
			list = append(list, warning{
				Title: fmt.Sprintf("No worker serves queue %s", q.Queue),
				Why: fmt.Sprintf("%s %s due, the oldest for %s, and none was run in the last hour. Is the name right, and does a worker or a Cloud Tasks queue exist for it?",
					count(q.Pending, "task"), isAre(q.Pending), span(b.QueuesAt.Sub(q.OldestSince))),
				Show: h.link("/tasks", "view", string(queue.ViewPending), "queue", q.Queue, "backend", q.Backend),
			})
		}
	}
	return list
}

// sweeperWarning warns when the last sweep is three intervals ago.
func (h *handler) sweeperWarning(marks map[string]time.Time, now time.Time) (warning, bool) {
	last, seen := marks[queue.TouchSwept]
	if h.SweepEvery == 0 || marks == nil || seen && now.Sub(last) <= 3*h.SweepEvery+queue.TouchEvery {
		return warning{}, false
	}
	w := warning{Title: "The sweeper has never been seen"}
	if seen {
		w.Title = "The sweeper was last seen " + span(now.Sub(last)) + " ago"
	}
	w.Why = sentences(fmt.Sprintf("It should run every %s. Until it does, tasks whose ticket was lost, or whose worker stopped, stay where they are.",
		span(h.SweepEvery)), h.Remedies.Sweeper)
	return w, true
}

// expiredWarning reports tasks whose lease has expired.
func (h *handler) expiredWarning(running []*queue.Row, now time.Time) (warning, bool) {
	expired := 0
	for _, row := range running {
		if row.LeaseExpiresAt.Before(now) {
			expired++
		}
	}
	if expired == 0 {
		return warning{}, false
	}
	some := count(expired, "task")
	if expired == statsRows {
		some += " or more"
	}
	return warning{
		Title: fmt.Sprintf("The %s of %s %s expired", map[bool]string{true: "lease", false: "leases"}[expired == 1], some, hasHave(expired)),
		Why: fmt.Sprintf("No result was stored in time, so the worker may be gone; the first lease expired %s ago. The sweeper, a worker or the next delivery takes them back; you can do it now.",
			span(now.Sub(running[0].LeaseExpiresAt))),
		Show:    h.link("/tasks", "view", string(queue.ViewRunning)),
		Act:     h.link("/confirm", "view", string(queue.ViewRunning), "all", string(queue.ActionRequeue)),
		ActName: "Requeue them",
	}, true
}

// unknownWarnings warn of rows that cannot be run, since their names are not
// registered, among the rows that were read.
func (h *handler) unknownWarnings(b statsView) (list []warning) {
	found := make(map[string]int)
	for _, row := range slices.Concat(b.Stranded, b.Running) {
		if !h.registered(row.Task) {
			found[row.Task]++
		}
	}
	var names []string
	for name := range found {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(found[b]-found[a], strings.Compare(a, b)) })
	for _, name := range names[:min(3, len(names))] {
		list = append(list, warning{
			Title: "No task named " + clip(name, 80) + " is registered here",
			Why:   "Rows of this name wait until a program that knows the name is deployed. If it was renamed, queue.Alias keeps the old name working.",
			Show:  h.link("/tasks", "task", name),
		})
	}
	return list
}

// keyWarnings warn of rows that cannot be run, since this program lacks their keys, among the
// rows that were read.
func (h *handler) keyWarnings(b statsView) (list []warning) {
	found := make(map[string]bool)
	for _, row := range slices.Concat(b.Stranded, b.Running) {
		if !h.Client.Knows(row) {
			found[row.KeyID] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(found)) {
		list = append(list, warning{
			Title: "Tasks are encrypted with key " + clip(key, 80) + ", which this program does not have",
			Why:   "They wait until a program that has the key is deployed, and their arguments and results cannot be shown here.",
		})
	}
	return list
}

// pausedWarnings are about paused queues with tasks that are due: the pause may have been
// forgotten.
func (h *handler) pausedWarnings(b statsView) (list []warning) {
	for _, g := range b.Gates {
		waiting := 0
		for _, q := range b.Queues {
			if q.Queue == g.Queue {
				waiting += q.Pending
			}
		}
		if !g.Paused() || waiting == 0 {
			continue
		}
		why := fmt.Sprintf("%s %s due and %s until it is resumed. Paused %s ago by %s", count(waiting, "task"), isAre(waiting),
			map[bool]string{true: "waits", false: "wait"}[waiting == 1], span(b.QueuesAt.Sub(g.PausedAt)), cmp.Or(g.PausedBy, "an unknown user"))
		if g.PauseReason != "" {
			why += ": " + clip(g.PauseReason, 200)
		}
		list = append(list, warning{
			Title: "Queue " + g.Queue + " is paused", Why: why,
			Show: h.link("/tasks", "queue", g.Queue, "parked", "1"),
			Act:  h.link("/queues"), ActName: "Resume it…",
		})
	}
	return list
}

// paused reports whether a queue is paused.
func (b statsView) paused(name string) bool {
	return slices.ContainsFunc(b.Gates, func(g queue.Gate) bool { return g.Queue == name && g.Paused() })
}
