package admin

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// recentShown is how many of the latest tasks of a type are looked at.
const recentShown = 8

// typePage is what is known of a registered name.
type typePage struct {
	layout
	Enqueue  *enqueuePage
	Info     queue.TaskInfo
	List     string // address of its tasks
	Failed   string // address of those that have FAILED
	QueueURL string
	Limits   []string
	Backoffs []string // after each of the first attempts
	Service  bool     // the dispatcher's service decides about the backoff
	Keep     *keptFor // nil: until a purge
	Timeout  string   // empty: none
	Sealed   bool     // it is stored encrypted
	Failures []failureLine
	Known    bool // Failures are
	Sources  []source
	Searched bool // Recent and what it shows about Sources are known
	Within   int  // they are of the latest so many tasks of all names; 0: of all
	Looked   int  // rows
	Recent   []rowLine
	Fares    *fares // nil: unknown
}

// keptFor is how long rows are kept, in words.
type keptFor struct{ Successful, Failed string }

// failureLine is one kind of failure of a type.
type failureLine struct {
	queue.FailureGroup
	URL string // address of the tasks
}

// source is something that enqueues a type.
type source struct {
	Kind string // schedule, group, failed, member, traced, program
	Name string
	URL  string
	Of   int  // of the latest tasks, how many come from it
	Off  bool // it is a schedule that is paused
}

// taskType shows a registered name: its options, who enqueues it, how it fares, and a form.
func (h *handler) taskType(v *visit) error {
	info, err := h.info(v.rest)
	if err != nil {
		return err
	}
	if from := v.r.FormValue("from"); from != "" {
		return h.enqueueAgain(v, info, from)
	}
	form, err := h.newEnqueuePage(v, info)
	if err != nil {
		return err
	}
	begun := time.Now()
	stats, err := h.stats.lookFigured(v.r.Context(), v.now, pageStatements-listStatements)
	if err != nil {
		return err
	}
	listed, at, err := h.listings.look(v.r.Context(), listing{Task: info.Name}, recentShown, v.now, begun)
	if err != nil {
		return err
	}
	page := typePage{
		layout: form.layout, Enqueue: form, Info: info, List: form.List, Failed: h.link("/tasks", "view", string(queue.ViewFailed), "task", info.Name),
		QueueURL: h.link("/queues/" + info.Queue), Backoffs: h.backoffs(v.p, info), Known: stats.Known, Recent: h.rowLines(listed.Rows, v.words()), Looked: len(listed.Rows), Searched: !at.IsZero(),
	}
	if listed.Partial {
		page.Within = queue.ListWindow
	}
	page.Fares = stats.Figures.ofType(v.p, h.names, info.Name)
	page.Title, page.Every, page.Again = v.t("Task type %s", info.Name), 10, !page.Known || at.IsZero() || stats.Figured && stats.Figures == nil
	page.Limits = h.limitsOf(v, info, stats.Limits)
	h.inForce(&page)
	for _, g := range stats.Failures {
		if h.names[g.Task] == info.Name {
			page.Failures = append(page.Failures, failureLine{g, h.link("/tasks", "view", string(queue.ViewFailed), "task", g.Task, "group", g.Group)})
		}
	}
	page.Sources = h.sources(info, stats.Schedules, listed.Rows)
	return h.render(v, http.StatusOK, "type", page)
}

// inForce adds what the program decides where the type does not.
func (h *handler) inForce(page *typePage) {
	name := page.Info.Name
	page.Service, page.Sealed = h.Client.InspectsQueues(page.Info.Backend), h.Client.Encrypts(name)
	if keep := h.Client.Retention(name); keep != nil {
		page.Keep = &keptFor{Successful: page.p.Span(keep.Successful), Failed: page.p.Span(keep.Failed)}
	}
	if limit := cmp.Or(page.Info.Timeout, h.Timeout); limit > 0 {
		page.Timeout = page.p.Span(limit)
	}
}

// backoffsShown is after how many attempts the page says what the wait is.
const backoffsShown = 5

// backoffs are the waits after the first attempts, if the type decides about them.
func (h *handler) backoffs(p *lang.Printer, info queue.TaskInfo) (waits []string) {
	for attempt := 1; attempt < info.MaxAttempts && attempt <= backoffsShown; attempt++ {
		wait, own := h.Client.Registry().Backoff(info.Name, attempt)
		if !own {
			return nil
		}
		waits = append(waits, p.Span(wait))
	}
	return waits
}

// limitsOf are the limits that concern a type.
func (h *handler) limitsOf(v *visit, info queue.TaskInfo, limits []queue.LimitUse) (lines []string) {
	for _, l := range limits {
		name := info.Name
		if l.Kind == queue.LimitQueue {
			name = info.Queue
		}
		if l.Set() && l.Name == name {
			lines = append(lines, v.t("Limit of %s: %s.", h.limited(l), limitMeans(v.p, l.Limit)))
		}
	}
	return lines
}

// sources are what enqueues a type: as the code and the schedules say, and as its latest
// tasks show.
func (h *handler) sources(info queue.TaskInfo, schedules []*queue.Schedule, rows []*queue.Row) (all []source) {
	at := func(kind, name, url string) *source {
		for i := range all {
			if all[i].Kind == kind && all[i].Name == name {
				return &all[i]
			}
		}
		all = append(all, source{Kind: kind, Name: name, URL: url})
		return &all[len(all)-1]
	}
	for _, s := range schedules {
		if h.names[s.Task] == info.Name {
			at("schedule", s.Name, h.link("/schedules/"+s.Name)).Off = s.Paused()
		}
	}
	for _, other := range h.Client.Registry().Tasks() {
		if other.OnFailed == info.Name {
			at("failed", other.Name, h.link("/types/"+other.Name))
		}
	}
	for _, row := range rows {
		switch {
		case row.Schedule != "":
			at("schedule", row.Schedule, h.link("/schedules/"+row.Schedule)).Of++
		case row.Completes != uuid.Nil:
			at("group", row.Completes.String(), h.groupURL(row.Completes)).Of++
		case row.Group != uuid.Nil:
			at("member", row.Group.String(), h.groupURL(row.Group)).Of++
		case h.failedTask(row) != "":
			at("failed", h.failedTask(row), h.link("/types/"+h.failedTask(row))).Of++
		case row.TraceContext != "":
			at("traced", "", "").Of++
		default:
			at("program", "", "").Of++
		}
	}
	slices.SortStableFunc(all, func(a, b source) int { return cmp.Compare(b.Of, a.Of) })
	return all
}

// failedTask is the registered name of the task whose final failure has enqueued a row;
// empty: none has. A redacted task's name is no secret.
func (h *handler) failedTask(row *queue.Row) string {
	for _, info := range h.Client.Registry().Tasks() {
		if info.OnFailed == row.Task && strings.Contains(string(row.Args), fmt.Sprintf(`"task_path":%q`, info.Name)) {
			return info.Name
		}
	}
	return ""
}

// Waits reports whether a task may wait for another attempt.
func (p typePage) Waits() bool { return len(p.Backoffs) == 0 && p.Info.MaxAttempts > 1 }
