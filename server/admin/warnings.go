package admin

import (
	"time"

	"github.com/claimcheck-go/claimcheck/server/internal/problems"
)

// Limits of the failures that are problems. Others are in the table of failures only.
const (
	recentFailures = 24 * time.Hour
	manyFailures   = 10 // of one kind, recent
	mostFailures   = 3  // kinds
)

// warning is a problem as the overview shows it.
type warning struct {
	Title, Why string
	Example    string // of an error
	Show       string // address of the rows; empty: there is nothing to show
	Act        string // address of the confirmation; empty: nothing to be done here
	ActName    string
	Main       bool   // of all actions, this one is the first to be thought of
	failure    string // the kind of failures that it is about; empty: none
}

// warnings returns the problems in the statistics, the worst first.
func (h *handler) warnings(b statsView, w words) (list []warning) {
	main := false
	rules := h.rules()
	rules.Printer = w.p
	for _, p := range problems.Find(b.State, rules, w.now) {
		if b.Changed { // perhaps by this very action: it is offered when its effect is known
			p.Act = problems.Page{}
		}
		w := warning{Title: p.Title, Why: p.Why, Example: clip(p.Example, 300), Show: h.pageOf(p.Show), Act: h.pageOf(p.Act), ActName: p.ActName}
		if p.Kind == problems.Failing {
			w.failure = p.Subject
		}
		w.Main = w.Act != "" && !main
		main = main || w.Main
		list = append(list, w)
	}
	return list
}

// rules are those by which problems are found.
func (h *handler) rules() problems.Rules {
	return problems.Rules{
		Registered: h.registered, Knows: h.Client.Knows, MaxBacklog: h.Client.MaxBacklog,
		Dispatches: h.Dispatches, SweepEvery: h.SweepEvery, Sweeper: h.Remedies.Sweeper,
		Errors: true, Recent: recentFailures, Failing: manyFailures, Failures: mostFailures, Priority: h.priority,
	}
}

// priority is that of tasks of a name.
func (h *handler) priority(task string) int {
	for _, info := range h.Client.Registry().Tasks() {
		if info.Name == h.names[task] {
			return info.Priority
		}
	}
	return 0
}

// pageOf is the address of a page; empty: there is none.
func (h *handler) pageOf(p problems.Page) string {
	if p.Path == "" {
		return ""
	}
	return h.link(p.Path, p.Query...)
}
