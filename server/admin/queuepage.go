package admin

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// queueWorkersLooked is how many tasks of a queue, that succeeded last, are looked at for who
// serves it.
const queueWorkersLooked = 100

// A page sends at most pageStatements, and a list is as many as listStatements. What that
// leaves no room for comes with the next request.
const (
	pageStatements = 4
	listStatements = 2
)

// queuePage is what is known of one queue.
type queuePage struct {
	layout
	Name    string
	Lines   []queueLine // one for each backend
	First   queueLine   // what concerns all of them: pause and limit
	Gated   bool
	Limited bool
	Regated bool     // an action may have paused or resumed it since its gate was read
	Types   []string // registered here with this queue
	Served  bool     // Workers are known
	Within  int      // they were looked for in the latest so many tasks of all queues; 0: in all
	Workers []worker
	Looked  int
	Service []inspection // of the dispatchers that can describe their queues
	States  []stateLink
	Fares   *fares // nil: unknown
	Max     int    // bound on the backlog; 0: none
}

// stateLink leads to the queue's tasks of one state.
type stateLink struct{ Name, URL string }

// queue shows one queue.
func (h *handler) queue(v *visit) error {
	name := v.rest
	base := h.layout(v, v.t("Queue %s", name), "/queues")
	statements := pageStatements - listStatements
	if base.Notice != nil { // it says what has changed, so that matters most
		statements = pageStatements
	}
	look := h.stats.lookFigured
	if base.Notice != nil {
		look = h.stats.lookWithin
	}
	begun := time.Now()
	stats, err := look(v.r.Context(), v.now, statements)
	if err != nil {
		return err
	}
	page := queuePage{layout: base, Name: name, Gated: stats.Gated, Limited: stats.Limited, Regated: stats.Regated, Max: h.Client.MaxBacklog(name)}
	page.Every, page.Again = 10, stats.Unread || stats.Figured && stats.Figures == nil
	backends := h.registeredIn(&page)
	for _, line := range h.queueLines(v.p, stats) {
		if line.Queue == name {
			page.Lines = append(page.Lines, line)
			backends = append(backends, line.Backend)
		}
	}
	page.Fares = stats.Figures.ofQueue(v.p, name)
	known := len(page.Lines) > 0 || len(page.Types) > 0 || page.Fares != nil && page.Fares.Any()
	if !known && !queue.ValidQueueName(name) {
		return noSuchQueue(name)
	}
	if base.Notice == nil { // which has taken all statements
		none, err := h.serves(v, &page, known, stats.Running, begun)
		if err != nil {
			return err
		}
		// What the statistics say is some seconds old, and of the last hour: a row decides.
		if !known && none && stats.Known && !stats.Unread {
			return noSuchQueue(name)
		}
	}
	if len(page.Lines) == 0 {
		page.Lines = []queueLine{{QueueStats: queue.QueueStats{Queue: name, Backend: queue.DefaultBackend}, Gate: queue.Gate{Queue: name}, Limit: h.limitLine(v.p, queue.LimitUse{Limit: queue.Limit{Kind: queue.LimitQueue, Name: name}})}}
	}
	page.First = page.Lines[0]
	page.First.Limit.Back = h.link("/queues/" + name)
	page.Again = page.Again || !page.Served
	slices.Sort(backends)
	for _, backend := range slices.Compact(backends) {
		if backend != "" && h.Client.InspectsQueues(backend) {
			page.Service = append(page.Service, h.inspected.look(backend, name, v.now))
			page.Again = page.Again || page.Service[len(page.Service)-1].At.IsZero()
		}
	}
	for _, view := range queue.Views() {
		page.States = append(page.States, stateLink{v.p.Text(viewNames[view]), h.link("/tasks", "view", string(view), "queue", name)})
	}
	return h.render(v, http.StatusOK, "queue", page)
}

// registeredIn adds the types that this program registers with the queue, and returns
// their backends.
func (h *handler) registeredIn(page *queuePage) (backends []string) {
	for _, info := range h.Client.Registry().Tasks() {
		if info.Queue == page.Name {
			page.Types = append(page.Types, info.Name)
			backends = append(backends, info.Backend)
		}
	}
	return backends
}

// noSuchQueue is for a name that nothing has.
func noSuchQueue(name string) error {
	return &pageError{http.StatusNotFound, lang.M("No such queue"), lang.M("No stored task, and no task of this program, has the queue %.100q, and it is neither paused nor limited.", name)}
}

// serves adds the workers that run tasks of the queue, or have lately, if they are known
// yet. Of a queue that the statistics do not know, it looks at its tasks of every state, over
// several requests if that takes long, and reports whether there was none just now.
func (h *handler) serves(v *visit, page *queuePage, known bool, running []*queue.Row, begun time.Time) (none bool, err error) {
	key := listing{View: queue.ViewSuccessful, Queue: page.Name}
	if !known {
		key.View = queue.ViewAll
	}
	listed, at, err := h.listings.look(v.r.Context(), key, queueWorkersLooked, v.now, begun)
	if err != nil || at.IsZero() || !known && listed.Partial && len(listed.Rows) == 0 {
		return false, err
	}
	var rows []*queue.Row
	for _, row := range listed.Rows {
		if row.Status == queue.StatusSuccessful {
			rows = append(rows, row)
		}
	}
	for _, row := range running {
		if row.Queue == page.Name {
			rows = append(rows, row)
		}
	}
	page.Workers, page.Looked = groupWorkers(rows, v.now), queueWorkersLooked
	if page.Served = true; listed.Partial {
		page.Within = queue.ListWindow
	}
	return len(listed.Rows) == 0 && v.now.Sub(at) <= keepStats, nil
}

// Short is the last part of the service's name of a queue.
func (i inspection) Short(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// Rate is a number of dispatches a second.
func (i inspection) Rate(perSecond float64) string { return fmt.Sprintf("%.4g", perSecond) }

// Drain is how long what is pending takes at the rate at which tasks ended in the last hour;
// empty if nothing is, none ended, or nothing starts now. How much was pending earlier is not
// kept.
func (p queuePage) Drain() string {
	pending, ended := 0, 0
	for _, line := range p.Lines {
		pending, ended = pending+line.Pending, ended+line.Succeeded+line.Failed
	}
	if pending == 0 || ended == 0 || p.First.Gate.Paused() {
		return ""
	}
	return p.p.Span(time.Duration(float64(pending) / float64(ended) * float64(time.Hour)).Round(time.Second))
}
