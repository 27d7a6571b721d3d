package admin

import (
	"fmt"
	"net/http"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// overviewPage is health at a glance.
type overviewPage struct {
	layout
	Known    bool   // the tasks have been counted
	State    string // calm, uneasy, bad, or empty while the tasks have not been counted
	Summary  string
	Detail   string
	Warnings []warning
	Totals   totals
	Failing  []failing // in the last day, the largest first
	Older    []failing
	Figured  bool     // the store keeps figures
	Charts   *charts  // nil: not counted yet
	Heat     *heatmap // likewise
	Queues   []queueLine
	Backends bool // there is more than one
}

// totals are the counts of all queues together.
type totals struct {
	Pending, Delayed, Running, Stranded int
	OldestSince                         time.Time
	Succeeded, Failed                   int // in the last hour
	FailedNow                           int // FAILED rows that are kept
	FailedMany                          bool
}

// failing is a kind of failure, with the way to run its tasks again.
type failing struct {
	queue.FailureGroup
	Unknown bool   // the name is not registered here
	Text    string // an example of the error
	List    string // address of its tasks
	Retry   string // address of the confirmation
}

// lately is the age up to which a failure counts as recent.
const lately = 24 * time.Hour

func (h *handler) overview(v *visit) error {
	stats, err := h.stats.look(v.r.Context(), v.now)
	if err != nil {
		return err
	}
	page := overviewPage{layout: h.layout(v, "Overview", "/"), Known: stats.Known, Totals: sum(stats)}
	page.Every, page.Again = 10, stats.Partial
	for _, group := range stats.Failures {
		f := h.failing(group)
		if v.now.Sub(group.Last) < lately {
			page.Failing = append(page.Failing, f)
		} else {
			page.Older = append(page.Older, f)
		}
	}
	page.Warnings = h.warnings(stats, v.now)
	if page.Figured = stats.Figured; stats.Figures != nil {
		page.Charts, page.Heat = newCharts(stats.Figures), stats.Figures.heatmap()
	}
	page.Queues, page.Backends = h.queueLines(stats), manyBackends(stats.Queues)
	page.say()
	return h.render(v, http.StatusOK, "overview", page)
}

// sum adds up what is known of the queues.
func sum(stats statsView) (t totals) {
	for _, q := range stats.Queues {
		t.Pending += q.Pending
		t.Delayed += q.Delayed
		t.Running += q.Running
		t.Stranded += q.Stranded
		t.Succeeded += q.Succeeded
		t.Failed += q.Failed
		if !q.OldestSince.IsZero() && (t.OldestSince.IsZero() || q.OldestSince.Before(t.OldestSince)) {
			t.OldestSince = q.OldestSince
		}
	}
	for _, group := range stats.Failures {
		t.FailedNow += group.Count
	}
	t.FailedMany = t.FailedNow >= queue.FailuresWindow || len(stats.Failures) == statsGroups
	return t
}

func (h *handler) failing(group queue.FailureGroup) failing {
	pairs := []string{"view", string(queue.ViewFailed), "task", group.Task, "group", group.Group}
	f := failing{
		FailureGroup: group, Text: clip(group.Error, 300), Unknown: !h.registered(group.Task),
		List: h.link("/tasks", pairs...),
	}
	if group.Group != "" { // else it would mean failures of any kind
		f.Retry = h.link("/confirm", append(pairs, "all", string(queue.ActionRetry))...)
	}
	return f
}

// registered reports whether this program knows a task of this name.
func (h *handler) registered(name string) bool { return h.names[name] != "" }

// say sums the page up in a sentence.
func (p *overviewPage) say() {
	recent := 0
	for _, f := range p.Failing {
		recent += f.Count
	}
	p.Detail = fmt.Sprintf("%s finished in the last hour.", count(p.Totals.Succeeded+p.Totals.Failed, "task"))
	switch {
	case !p.Known:
		p.State, p.Summary, p.Detail = "", "Counting the tasks…", "This page reloads when they are counted."
		return
	case len(p.Warnings) > 0:
		p.State, p.Summary = "bad", count(len(p.Warnings), "thing")+" to look at"
	case recent > 0:
		p.State, p.Summary = "uneasy", "Running, with failures"
	default:
		p.State, p.Summary = "calm", "All is well"
		p.Detail = "Nothing is stuck. " + p.Detail
	}
	if recent > 0 {
		p.Detail += fmt.Sprintf(" %s FAILED and can be retried.", count(recent, "task"))
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
