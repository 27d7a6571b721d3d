package problems

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
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
			Title:   fmt.Sprintf("%s named %s %s FAILED for one reason", api.CountOf(g.Count, "task"), api.Clip(g.Task, 80), api.IsAre(g.Count)),
			Example: g.Error,
			Show:    page("/tasks", "view", string(queue.ViewFailed), "task", g.Task, "group", g.Group),
		}
		p.Why = f.when(g) + " " + f.remedy(g)
		if f.Retriable(g) {
			p.Act = page("/confirm", "view", string(queue.ViewFailed), "task", g.Task, "group", g.Group, "all", string(queue.ActionRetry))
			p.ActName = api.OneMany(g.Count, "Retry it", "Retry all "+api.Number(g.Count))
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
	latest := api.Span(max(time.Second, f.now.Sub(g.Last)))
	if g.Recent < g.Count && f.Recent <= time.Hour {
		return fmt.Sprintf("%s FAILED in the last hour, %s before, the latest %s ago.", api.Number(g.LastHour), api.Number(g.Count-g.LastHour), latest)
	}
	if g.Recent < g.Count {
		return fmt.Sprintf("%s FAILED in the last hour, %s before the last 24 hours, the latest %s ago.", api.Number(g.LastHour), api.Number(g.Count-g.Recent), latest)
	}
	return fmt.Sprintf("%s FAILED in the last hour, the latest %s ago.", api.Number(g.LastHour), latest)
}

// remedy says what can be done about failures of a kind.
func (f *finder) remedy(g queue.FailureGroup) string {
	switch {
	case !f.Registered(g.Task):
		return api.OneMany(g.Count, "The name is not registered here: retried, it would wait until a program that knows it is deployed.",
			"The name is not registered here: retried, they would wait until a program that knows it is deployed.")
	case g.Permanent == g.Count:
		return api.OneMany(g.Count, "Its error is permanent: retried as it is, it fails again.", "Their errors are permanent: retried as they are, they fail again.")
	case g.Permanent > 0:
		return fmt.Sprintf("The errors of %s are permanent. When the cause is fixed, the others can be retried together.", api.Number(g.Permanent))
	}
	return api.OneMany(g.Count, "When the cause is fixed, it can be retried.", "When the cause is fixed, they can be retried together.")
}
