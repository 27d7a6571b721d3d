package admin

import (
	"time"

	"github.com/claimcheck-go/claimcheck/server/internal/problems"
)

// warning is a problem as the overview shows it.
type warning struct {
	Title, Why string
	Show       string // address of the rows; empty: there is nothing to show
	Act        string // address of the confirmation; empty: nothing to be done here
	ActName    string
}

// warnings returns the problems in the statistics, the worst first.
func (h *handler) warnings(b statsView, now time.Time) (list []warning) {
	for _, p := range problems.Find(b.State, h.rules(), now) {
		list = append(list, warning{Title: p.Title, Why: p.Why, Show: h.pageOf(p.Show), Act: h.pageOf(p.Act), ActName: p.ActName})
	}
	return list
}

// rules are those by which problems are found.
func (h *handler) rules() problems.Rules {
	return problems.Rules{
		Registered: h.registered, Knows: h.Client.Knows, MaxBacklog: h.Client.MaxBacklog,
		Dispatches: h.Dispatches, SweepEvery: h.SweepEvery, Sweeper: h.Remedies.Sweeper, Sample: statsRows,
	}
}

// pageOf is the address of a page; empty: there is none.
func (h *handler) pageOf(p problems.Page) string {
	if p.Path == "" {
		return ""
	}
	return h.link(p.Path, p.Query...)
}
