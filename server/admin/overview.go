package admin

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
	"github.com/claimcheck-go/claimcheck/server/internal/problems"
)

// overviewPage is health at a glance.
type overviewPage struct {
	layout
	Known    bool   // the tasks have been counted
	Changed  bool   // but an action has changed some since
	State    string // calm, uneasy, bad, or empty while the tasks have not been counted
	Summary  string
	Detail   string
	Warnings []warning
	Totals   totals
	Problems bool      // some failures are among the warnings
	Failing  []failing // others, of the last 24 hours, those that weigh most first
	Older    []failing
	Figured  bool     // the store keeps figures
	Charts   *charts  // nil: not counted yet
	Heat     *heatmap // likewise
	Queues   []queueLine
	Backends bool       // there is more than one
	First    *firstStep // nil: there are tasks, or were
}

// failing is a kind of failure, with the way to run its tasks again.
type failing struct {
	queue.FailureGroup
	Unknown bool   // the name is not registered here
	Text    string // an example of the error
	List    string // address of its tasks
	Retry   string // address of the confirmation; empty: a retry would not help
}

func (h *handler) overview(v *visit) error {
	stats, err := h.stats.look(v.r.Context(), v.now)
	if err != nil {
		return err
	}
	page := overviewPage{layout: h.layout(v, v.t("Overview"), "/"), Known: stats.Known, Changed: stats.Changed, Totals: sum(stats)}
	page.Every, page.Again = 10, stats.Partial
	page.Warnings = h.warnings(stats, page.words)
	h.divide(&page, stats)
	if page.Figured = stats.Figured; stats.Figures != nil {
		page.Charts, page.Heat = newCharts(stats.Figures, v.p), stats.Figures.heatmap(v.p)
	}
	page.Queues, page.Backends = h.queueLines(v.p, stats), manyBackends(stats.Queues)
	page.say()
	if stats.Empty {
		page.First, page.Detail = h.firstStep(v.r), v.t("The database has no tasks yet.")
		if len(page.Warnings) == 0 {
			page.Summary, page.Detail = v.t("No tasks yet"), v.t("The database is empty.")
		}
	}
	return h.render(v, http.StatusOK, "overview", page)
}

// divide divides the failures into those that are among the problems, and others that are
// recent or older.
func (h *handler) divide(page *overviewPage, stats statsView) {
	rules := h.rules()
	groups := slices.Clone(stats.Failures)
	slices.SortStableFunc(groups, func(a, b queue.FailureGroup) int { return cmp.Compare(rules.Weight(b), rules.Weight(a)) })
	for _, group := range groups {
		f := h.failing(group)
		if stats.Changed { // as for warnings
			f.Retry = ""
		}
		switch {
		case slices.ContainsFunc(page.Warnings, func(w warning) bool { return w.failure == problems.FailureOf(group) }):
			page.Problems = true
		case group.Recent > 0:
			page.Failing = append(page.Failing, f)
		default:
			page.Older = append(page.Older, f)
		}
	}
}

func (h *handler) failing(group queue.FailureGroup) failing {
	pairs := []string{"view", string(queue.ViewFailed), "task", group.Task, "group", group.Group}
	f := failing{
		FailureGroup: group, Text: clip(group.Error, 300), Unknown: !h.registered(group.Task),
		List: h.link("/tasks", pairs...),
	}
	if h.rules().Retriable(group) { // without a group it would mean failures of any kind
		f.Retry = h.link("/confirm", append(pairs, "all", string(queue.ActionRetry))...)
	}
	return f
}

// registered reports whether this program knows a task of this name.
func (h *handler) registered(name string) bool { return h.names[name] != "" }

// say sums the page up in a sentence.
func (p *overviewPage) say() {
	if !p.Known {
		p.Summary, p.Detail = p.p.T("Counting the tasks…"), p.p.T("This page reloads when they are counted.")
		return
	}
	p.Detail = p.p.T("Ended in the last hour, by current status: %d SUCCESSFUL, %s FAILED.", p.Totals.Succeeded, p.p.Number(p.Totals.Failed))
	switch {
	case len(p.Warnings) > 0:
		p.State, p.Summary = "bad", p.p.T("%d problems need attention", len(p.Warnings))
	case len(p.Failing) > 0:
		p.State, p.Summary = "uneasy", p.p.T("Running, with failures")
	default:
		p.State, p.Summary = "calm", p.p.T("No problems")
		p.Detail = lang.Sentences(p.p.T("Nothing is stuck."), p.Detail)
	}
}

// failingList is one table of failures.
type failingList struct {
	layout
	List  []failing
	Label string
}

// Groups is what the table of failures needs.
func (p overviewPage) Groups(list []failing, label string) failingList {
	return failingList{p.layout, list, label}
}
