package problems

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// Weight is how much attention failures of one kind deserve: the logarithm of how many are
// recent, and the priority of the task. Twenty points of priority weigh as much as ten
// times as many failures.
func (r Rules) Weight(g queue.FailureGroup) float64 {
	w := math.Log10(float64(max(1, g.Recent)))
	if r.Priority != nil {
		w += float64(r.Priority(g.Task)) / 20
	}
	return w
}

// failing reports kinds of failures with many recent tasks, those that weigh most first.
// Texts of errors, which may have arguments in them, are in Example only.
func (f *finder) failing() (list []Problem) {
	if f.Failing == 0 {
		return nil
	}
	groups := slices.DeleteFunc(slices.Clone(f.State.Failures), func(g queue.FailureGroup) bool { return g.Recent < f.Failing })
	slices.SortStableFunc(groups, func(a, b queue.FailureGroup) int { return cmp.Compare(f.Weight(b), f.Weight(a)) })
	if f.Rules.Failures > 0 {
		groups = groups[:min(f.Rules.Failures, len(groups))]
	}
	for _, g := range groups {
		p := Problem{
			Kind: Failing, Subject: FailureOf(g), Task: g.Task, Count: g.Count,
			Title:   f.t("%d tasks named %s are FAILED with the same error", g.Count, api.Clip(g.Task, 80)),
			Example: g.Error,
			Show:    page("/tasks", "view", string(queue.ViewFailed), "task", g.Task, "group", g.Group),
		}
		p.Why = lang.Sentences(f.when(g), f.remedy(g))
		if f.Retriable(g) {
			p.Act = page("/confirm", "view", string(queue.ViewFailed), "task", g.Task, "group", g.Group, "all", string(queue.ActionRetry))
			p.ActName = f.t("Retry all %d", g.Count)
		}
		list = append(list, p)
	}
	return list
}

// FailureOf identifies a kind of failures.
func FailureOf(g queue.FailureGroup) string { return g.Task + " " + g.Group }

// Retriable reports whether a retry of such failures may help: not if their errors are
// permanent, or nothing here knows the name.
func (r Rules) Retriable(g queue.FailureGroup) bool {
	return g.Group != "" && g.Permanent < g.Count && r.Registered(g.Task)
}

// when says when failures of a kind have occurred.
func (f *finder) when(g queue.FailureGroup) string {
	latest := f.span(max(time.Second, f.now.Sub(g.Last)))
	if g.Recent < g.Count && f.Recent <= time.Hour {
		return f.t("%d in the last hour, %s earlier; latest %s ago.", g.LastHour, f.Printer.Number(g.Count-g.LastHour), latest)
	}
	if g.Recent < g.Count {
		return f.t("%d in the last hour, %s more than 24 hours ago; latest %s ago.", g.LastHour, f.Printer.Number(g.Count-g.Recent), latest)
	}
	return f.t("%d in the last hour; latest %s ago.", g.LastHour, latest)
}

// remedy says what can be done about failures of a kind.
func (f *finder) remedy(g queue.FailureGroup) string {
	switch {
	case !f.Registered(g.Task):
		return f.t("This name is not registered here: a retry waits until a program that registers it is deployed.")
	case g.Permanent == g.Count:
		return f.t("The error is permanent: a retry fails the same way.")
	}
	if g.Permanent > 0 {
		return f.t("%d of these can be retried once the cause is fixed; the other errors are permanent.", g.Count-g.Permanent)
	}
	return f.t("%d of these can be retried once the cause is fixed.", g.Count)
}
