package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// listPageSize is how many tasks a page lists.
const listPageSize = 50

// tasksPage is a list of tasks.
type tasksPage struct {
	layout
	Filter  filter
	Tabs    []tab
	Chips   []chip
	Actions []bulkAction
	Whole   bool    // they may apply to all that match
	Hidden  []field // the filter, for the form of actions
	Kept    []field // the parts of the filter that the form for it has no fields for
	Tasks   []string
	Queues  []string
	Rows    []rowLine
	More    bool   // open the further fields
	Next    string // address of the next page
	First   string // address of the first page; empty: this is it
	Turned  string // address of the other order
	Partial bool   // the page ends because the search did
	// Of a search: how many tasks were looked at, how many of them could not be decrypted,
	// and whether tasks with hidden arguments were left out.
	Searched, Unreadable int
	HiddenLeftOut        bool
	// Addresses of pending tasks that this list does not have, since a pause or a limit holds
	// them; empty: there are none.
	Paused, Limited string
	after           string
}

// shownFields are the parts of a filter that have fields on the page.
var shownFields = []string{"task", "queue", "error", "id", "since", "until", "priority", "backend", "stranded"}

// tab is a view.
type tab struct {
	Name, URL string
	Current   bool
	Count     int // -1: not known
}

// field is a hidden field of a form.
type field struct{ Name, Value string }

// bulkAction is an action that suits a view.
type bulkAction struct {
	Action queue.Action
	Name   lang.Text // with the number of selected tasks after it
	All    lang.Text // of the button for all tasks that match
}

// actionsFor are the actions for the rows of a view, or for stranded ones.
func actionsFor(f filter) []bulkAction {
	run, retry := bulkAction{queue.ActionRun, lang.M("Run now"), lang.M("Run all matching now")}, bulkAction{queue.ActionRetry, lang.M("Retry"), lang.M("Retry all matching")}
	requeue, cancel := bulkAction{queue.ActionRequeue, lang.M("Requeue"), lang.M("Requeue all matching")}, bulkAction{queue.ActionCancel, lang.M("Cancel"), lang.M("Cancel all matching")}
	switch f.View {
	case queue.ViewPending, queue.ViewDelayed:
		return []bulkAction{run, cancel}
	case queue.ViewRunning:
		return []bulkAction{requeue, cancel}
	case queue.ViewFailed:
		return []bulkAction{retry}
	case queue.ViewSuccessful, queue.ViewCancelled:
		return nil
	}
	if f.Parked || f.Limited {
		return []bulkAction{cancel}
	}
	if f.Stranded {
		return []bulkAction{run, cancel}
	}
	return []bulkAction{retry, run, requeue, cancel}
}

// tasks lists tasks. A whole ID alone leads to its task.
func (h *handler) tasks(v *visit) error {
	query := v.r.URL.Query()
	if len(query["find"]) == 1 { // else it is no filter
		http.Redirect(v.w, v.r, h.found(query), http.StatusSeeOther) //nolint:gosec // it is the path of these pages, with another query
		return nil
	}
	f := h.parseFilter(query, v.words())
	if len(f.IDs) == 1 && len(f.IDPrefixes) == 0 && f.OK() && len(f.Written) == 1 {
		v.redirect(h.link("/tasks/" + f.IDs[0].String()))
		return nil
	}
	page := tasksPage{layout: h.layout(v, v.t("Tasks"), "/tasks"), Filter: f, HiddenLeftOut: f.ByContents() && h.hidden != nil}
	status := http.StatusOK
	if f.OK() {
		listed, err := h.list(v.r.Context(), queue.ListRequest{
			Selection: f.Selection, Reverse: f.Reverse, After: query.Get("after"), Limit: listPageSize, Values: listedValues,
		})
		if err != nil {
			return err
		}
		page.Rows, page.Partial, page.Unreadable = h.rowLines(listed.Rows, v.words()), listed.Partial, listed.Unreadable
		page.Searched = max(listed.Searched, queue.ListWindow)
		if f.ByContents() {
			page.Searched = listed.Searched
		}
		h.addArgs(page.Rows, listed.Beginnings, v.p)
		if listed.Next != "" {
			page.Next = h.with(query, "after", listed.Next)
		}
	} else {
		status = http.StatusBadRequest
	}
	if query.Get("after") != "" {
		page.First = h.with(query, "after", "")
	} else if f.OK() && (!page.Partial || !f.ByContents()) { // a filter with problems does not change by itself, and a search takes long
		if page.Every = 10; f.View == queue.ViewRunning {
			page.Every = 5
		}
	}
	page.after = query.Get("after")
	page.Turned = h.with(query, "after", "", "order", map[bool]string{false: "reverse", true: ""}[f.Reverse])
	h.furnish(&page)
	return h.render(v, status, "tasks", page)
}

// furnish adds the parts of a list besides its rows.
func (h *handler) furnish(page *tasksPage) {
	f := page.Filter
	page.Chips = f.chips(h)
	if f.OK() {
		page.Actions = actionsFor(f)
		page.Whole = f.Stranded || f.Parked || f.Limited || f.View != queue.ViewAll && f.View != ""
	}
	for name := range f.fixed() {
		page.Hidden = append(page.Hidden, field{name, f.Written.Get(name)})
		if !slices.Contains(shownFields, name) {
			page.Kept = append(page.Kept, field{name, f.Written.Get(name)})
		}
	}
	// An action on all matching begins where the list does, since a search may not get there
	// from the start; in the other order it would go the other way from there.
	if after := page.after; after != "" && f.ByContents() && !f.Reverse {
		page.Hidden = append(page.Hidden, field{"after", after})
	}
	for _, name := range []string{"id", "since", "until", "priority", "backend", "stranded", "parked", "limited"} {
		page.More = page.More || f.Written.Has(name)
	}
	for _, info := range h.Client.Registry().Tasks() {
		page.Tasks = append(page.Tasks, info.Name)
	}
	paused, limited := h.stats.holds()
	if f.View == queue.ViewPending && f.OK() {
		if len(paused) > 0 {
			page.Paused = h.with(f.Written, "view", "", "parked", "1")
		}
		if limited {
			page.Limited = h.with(f.Written, "view", "", "limited", "1")
		}
	}
	queues := h.stats.known(page.now)
	counts := map[queue.View]int{}
	for _, q := range queues {
		page.Queues = append(page.Queues, q.Queue)
		if !paused[q.Queue] { // those are not in the list
			counts[queue.ViewPending] += q.Pending
		}
		counts[queue.ViewDelayed] += q.Delayed
		counts[queue.ViewRunning] += q.Running
	}
	for _, view := range queue.Views() {
		t := tab{Name: page.p.Text(viewNames[view]), Current: f.View == view, Count: -1}
		values := f.fixed()
		for name := range values {
			values.Set(name, f.Written.Get(name))
		}
		values.Set("view", string(view))
		t.URL = h.link("/tasks") + "?" + values.Encode()
		if n, known := counts[view]; known && !f.narrowed() {
			t.Count = n
		}
		page.Tabs = append(page.Tabs, t)
	}
}

var viewNames = map[queue.View]lang.Text{
	queue.ViewAll: lang.M("All"), queue.ViewPending: lang.M("Pending"), queue.ViewDelayed: lang.M("Delayed"), queue.ViewRunning: lang.M("Running"),
	queue.ViewFailed: lang.M("Failed"), queue.ViewSuccessful: lang.M("Successful"), queue.ViewCancelled: lang.M("Cancelled"),
}

// with is the address of the list with some parameters changed; empty ones go.
func (h *handler) with(query url.Values, pairs ...string) string {
	changed := url.Values{}
	for _, name := range append([]string{"order", "after"}, filterNames(query)...) {
		if value := query.Get(name); value != "" || strings.HasPrefix(name, argField) {
			changed[name] = slices.Clone(query[name]) // all values, so that a repeated one is refused
		}
	}
	for _, name := range unknownFilters(query, filterNames(query)) { // which are refused too
		changed[name] = slices.Clone(query[name])
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if changed.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			changed.Del(pairs[i])
		}
	}
	if encoded := changed.Encode(); encoded != "" {
		return h.link("/tasks") + "?" + encoded
	}
	return h.link("/tasks")
}
