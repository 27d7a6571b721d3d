package admin

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
	"github.com/claimcheck-go/claimcheck/server/internal/problems"
)

// queueLine is one queue, with the addresses of its tasks.
type queueLine struct {
	queue.QueueStats
	Gate                               queue.Gate
	Limit                              *limitLine
	URL                                string // address of its page
	Late                               bool   // the oldest waits long
	Rate                               string // of failures in the last hour
	PendingURL, DelayedURL             string
	RunningURL, StrandedURL, FailedURL string
}

type queuesPage struct {
	layout
	Known    bool // the tasks have been counted
	Queues   []queueLine
	Backends bool        // there is more than one
	Gates    []queueLine // one for each name
	Gated    bool        // queues can be paused here
	Limited  bool        // and limited
	Regated  bool        // an action may have paused or resumed some since Gates were read
	Limits   []*limitLine
	Tasks    []string // for a new limit
	MaxLimit int
	Fares    []*fares // of each queue
}

// New is an empty limit, for the form that makes one.
func (p queuesPage) New() *limitLine { return &limitLine{ID: "new-limit", MaxLimit: p.MaxLimit} }

func (h *handler) queues(v *visit) error {
	stats, err := h.stats.look(v.r.Context(), v.now)
	if err != nil {
		return err
	}
	page := queuesPage{layout: h.layout(v, v.t("Queues"), "/queues"), Known: stats.Known, Queues: h.queueLines(v.p, stats)}
	page.Every, page.Again = 10, stats.Unread || stats.Figured && stats.Figures == nil
	page.Fares = stats.Figures.ofQueues(v.p)
	page.Backends = manyBackends(stats.Queues)
	page.Gates = slices.CompactFunc(slices.Clone(page.Queues), func(a, b queueLine) bool { return a.Queue == b.Queue })
	page.Gated, page.Limited, page.Regated, page.MaxLimit = stats.Gated, stats.Limited, stats.Regated, queue.MaxLimit
	_, page.Limits = h.limitLines(v.p, stats.Limits)
	for _, info := range h.Client.Registry().Tasks() {
		page.Tasks = append(page.Tasks, info.Name)
	}
	return h.render(v, http.StatusOK, "queues", page)
}

func manyBackends(queues []queue.QueueStats) bool {
	for _, q := range queues {
		if q.Backend != queues[0].Backend {
			return true
		}
	}
	return false
}

// queueLines returns the queues that have statistics, those that are paused and those that
// have a limit, by name.
func (h *handler) queueLines(p *lang.Printer, stats statsView) []queueLine {
	gates := make(map[string]queue.Gate)
	for _, g := range stats.Gates {
		gates[g.Queue] = g
	}
	queues := slices.Clone(stats.Queues)
	add := func(name string) {
		if !slices.ContainsFunc(queues, func(q queue.QueueStats) bool { return q.Queue == name }) {
			queues = append(queues, queue.QueueStats{Queue: name})
		}
	}
	for _, g := range stats.Gates {
		if g.Paused() {
			add(g.Queue)
		}
	}
	limits, _ := h.limitLines(p, stats.Limits)
	for name := range limits {
		add(name)
	}
	slices.SortFunc(queues, func(a, b queue.QueueStats) int {
		return cmp.Or(strings.Compare(a.Queue, b.Queue), strings.Compare(a.Backend, b.Backend))
	})
	lines := make([]queueLine, len(queues))
	for i, q := range queues {
		list := func(view queue.View, more ...string) string {
			return h.link("/tasks", append([]string{"view", string(view), "queue", q.Queue, "backend", q.Backend}, more...)...)
		}
		g := gates[q.Queue]
		g.Queue = q.Queue
		lines[i] = queueLine{
			QueueStats: q, Gate: g, Limit: limits[q.Queue], URL: h.link("/queues/" + q.Queue),
			Late:       !g.Paused() && (limits[q.Queue] == nil || !limits[q.Queue].Stuck) && !q.OldestSince.IsZero() && stats.QueuesAt.Sub(q.OldestSince) > problems.UnservedAfter,
			PendingURL: list(queue.ViewPending), DelayedURL: list(queue.ViewDelayed), RunningURL: list(queue.ViewRunning),
			StrandedURL: list("", "stranded", "1"), FailedURL: list(queue.ViewFailed),
		}
		if lines[i].Limit == nil {
			lines[i].Limit = h.limitLine(p, queue.LimitUse{Limit: queue.Limit{Kind: queue.LimitQueue, Name: q.Queue}})
		}
		if g.Paused() { // its tasks are in neither view
			lines[i].PendingURL = list("", "parked", "1")
			lines[i].DelayedURL = lines[i].PendingURL
		}
		if ended := q.Succeeded + q.Failed; ended > 0 {
			lines[i].Rate = percent(p, float64(q.Failed)/float64(ended))
		}
	}
	return lines
}

// pauseQueue pauses a queue. Within the time of the request it also sets its tasks aside;
// workers and the sweeper continue with the rest.
func (h *handler) pauseQueue(v *visit) error {
	return h.changeGate(v, h.Client.PauseQueue, func(r queue.GateResult) string {
		switch reason := clip(r.Gate.PauseReason, 200); {
		case r.Changed:
			return v.t("Queue %s is paused. None of its tasks starts until it is resumed.", r.Gate.Queue)
		case reason != "":
			return v.t("Queue %s was already paused by %s. The reason was not changed: %s", r.Gate.Queue, r.Gate.PausedBy, reason)
		}
		return v.t("Queue %s was already paused by %s.", r.Gate.Queue, r.Gate.PausedBy)
	})
}

// resumeQueue lets tasks of a queue run again.
func (h *handler) resumeQueue(v *visit) error {
	return h.changeGate(v, h.Client.ResumeQueue, func(r queue.GateResult) string {
		switch {
		case r.Changed && r.More:
			return v.t("Queue %s is resumed. Some of its tasks become available in a moment.", r.Gate.Queue)
		case r.Changed:
			return v.t("Queue %s is resumed. All of its tasks can run again.", r.Gate.Queue)
		case r.More:
			return v.t("Queue %s was not paused. Some of its tasks become available in a moment.", r.Gate.Queue)
		}
		return v.t("Queue %s was not paused.", r.Gate.Queue)
	})
}

func (h *handler) changeGate(v *visit, change func(context.Context, queue.GateRequest, func(int)) (queue.GateResult, error), words func(queue.GateResult) string) error {
	ctx, cancel := context.WithTimeout(v.r.Context(), h.budget)
	defer cancel()
	r := queue.GateRequest{Queue: v.r.PostFormValue("queue"), Actor: v.person.Name, Reason: strings.TrimSpace(v.r.PostFormValue("reason"))}
	result, err := change(ctx, r, nil)
	if err != nil {
		return err
	}
	h.stats.forget()
	h.leaveNotice(v, notice{Text: words(result), Good: result.Undispatched == 0})
	h.toQueues(v)
	return nil
}

// toQueues leads back to the page of a queue, or to that of all.
func (h *handler) toQueues(v *visit) {
	if v.r.PostFormValue("back") != "" {
		v.redirect(h.back(v))
		return
	}
	v.redirect(h.link("/queues"))
}
