package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// Limits of what a confirmation reads.
const (
	countMost   = 100_000 // more than this is shown as "or more"
	sampleRows  = 20
	sampleShown = 5
)

// order is an action on some tasks, as a form describes it.
type order struct {
	Action    queue.Action
	Selection queue.Selection
	Words     string     // describes the chosen tasks
	Fields    url.Values // the form's fields, to be sent again
	Picked    int        // tasks chosen one by one; 0: all that match
	After     string     // where a search begins
}

// readOrder reads which action is to be done to which tasks: to those picked
// (do=ACTION and pick=ID, many times), or to all that match (all=ACTION and the
// fields of a filter).
func (h *handler) readOrder(v *visit) (order, error) {
	form := v.r.Form
	if all := form.Get("all"); all != "" {
		f := h.parseFilter(form, v.words())
		for _, problem := range f.Wrong { // one is enough: nothing is done
			return order{}, &pageError{http.StatusBadRequest, lang.M("The filter is not understood"), verbatim(problem)}
		}
		o := order{Action: queue.Action(all), Selection: f.Selection, Words: f.String(), Fields: f.fixed()}
		o.Fields.Set("all", all)
		if f.ByContents() && form.Get("after") != "" {
			o.After, o.Words = form.Get("after"), o.Words+", beginning with the page that was shown"
		}
		return o.checked()
	}
	o := order{Action: queue.Action(form.Get("do")), Fields: url.Values{"do": {form.Get("do")}}}
	for _, text := range form["pick"] {
		id, err := uuid.Parse(text)
		if err != nil {
			return order{}, &pageError{http.StatusBadRequest, lang.M("No such task"), lang.M("One of the IDs is not a task ID.")}
		}
		if !slices.Contains(o.Selection.IDs, id) {
			o.Selection.IDs = append(o.Selection.IDs, id)
			o.Fields.Add("pick", id.String())
		}
	}
	if o.Picked = len(o.Selection.IDs); o.Picked == 0 {
		return order{}, &pageError{http.StatusBadRequest, lang.M("No task is selected"), lang.M("Go back and tick the tasks, or choose all matching.")}
	}
	if o.Words = count(o.Picked, "selected task"); o.Picked == 1 {
		o.Words = "task " + o.Selection.IDs[0].String()
	}
	return o.checked()
}

func (o order) checked() (order, error) {
	if _, ok := actionTexts[o.Action]; !ok {
		return order{}, &pageError{http.StatusBadRequest, lang.M("No such action"), lang.M("Actions are run, retry, requeue, cancel and delete.")}
	}
	return o, o.Selection.Check()
}

// actionText describes an action.
type actionText struct {
	Verb     string // Retry
	Means    string // what it does
	Are      string // what the tasks are afterwards
	Passed   string // why others were skipped
	Danger   bool
	suits    func(*queue.Row) bool
	dispatch bool
}

var actionTexts = map[queue.Action]actionText{
	queue.ActionRun: {
		Verb: "Run now", Are: "dispatched and may run now", Passed: "were not READY, or had been made due already", dispatch: true,
		Means: "READY tasks become due now, whatever time they were to wait for, and are dispatched again. Nothing runs inside this page.",
		suits: func(row *queue.Row) bool { return row.Status == queue.StatusReady },
	},
	queue.ActionRetry: {
		Verb: "Retry", Are: "READY again", Passed: "were not FAILED any more", dispatch: true,
		Means: "FAILED tasks become READY, with at least one attempt left, and are dispatched again. Their errors are kept. What an attempt did before it failed may be done twice.",
		suits: func(row *queue.Row) bool { return row.Status == queue.StatusFailed && !row.Dropped() },
	},
	queue.ActionRequeue: {
		Verb: "Requeue", Are: "READY again", Passed: "still had a live claim, or were not RUNNING", dispatch: true,
		Means: "RUNNING tasks whose claim has run out are taken from their worker and dispatched again. Tasks whose worker is alive are left alone.",
		suits: func(row *queue.Row) bool { return row.Status == queue.StatusRunning },
	},
	queue.ActionCancel: {
		Verb: "Cancel", Are: "CANCELLED", Passed: "had ended already", Danger: true,
		Means: "READY and RUNNING tasks become CANCELLED, for good: retry does not reopen them. The context of a running function is cancelled, and its result is not stored.",
		suits: func(row *queue.Row) bool { return !row.Status.Final() },
	},
	queue.ActionDelete: {
		Verb: "Delete", Are: "deleted", Passed: "were RUNNING, or gone already", Danger: true,
		Means: "Tasks that are not RUNNING are deleted for good, with their arguments, results and errors. One that is READY never runs. The audit log keeps who did it, and the ID.",
		suits: func(row *queue.Row) bool { return row.Status != queue.StatusRunning },
	},
}

// confirmPage asks before many tasks are changed.
type confirmPage struct {
	layout
	Order      order
	ActionText actionText
	Count      int
	Many       bool // there are at least Count
	// Of a search: whether its time was over before all tasks were searched, how many could
	// not be decrypted, and whether those with hidden arguments were left out.
	More          bool
	Unreadable    int
	HiddenLeftOut bool
	Cautions      []string // what speaks against it
	Sample        []rowLine
	Button        string
	Hidden        []field
	Back          string
}

// confirm counts what an action would change, and shows some of it. It changes
// nothing, so it is an ordinary page that can be reloaded.
func (h *handler) confirm(v *visit) error {
	if err := v.r.ParseForm(); err != nil {
		return &pageError{http.StatusBadRequest, lang.M("The address is not understood"), verbatim(err.Error())}
	}
	if v.person.ReadOnly {
		return errReadOnly
	}
	o, err := h.readOrder(v)
	if err != nil {
		return err
	}
	ctx := v.r.Context()
	counted, err := h.Client.Count(ctx, queue.CountRequest{Action: o.Action, Selection: o.Selection, After: o.After, Limit: countMost, Budget: h.budget})
	if err != nil {
		return err
	}
	n := counted.Count
	page := confirmPage{
		layout: h.layout(v, "Confirm", "/tasks"), Order: o, ActionText: actionTexts[o.Action], Count: n, Many: n >= countMost, Back: h.back(v),
		More: counted.More, Unreadable: counted.Unreadable, HiddenLeftOut: o.Selection.ByContents() && h.hidden != nil,
	}
	if n > 0 {
		listed, err := h.Client.List(ctx, queue.ListRequest{Selection: o.Selection, After: o.After, Limit: max(sampleRows, o.Picked)})
		if err != nil {
			return err
		}
		fitting := slices.DeleteFunc(listed.Rows, func(row *queue.Row) bool { return !page.ActionText.suits(row) })
		page.Sample = h.rowLines(fitting[:min(sampleShown, len(fitting))], v.words())
		if page.Cautions, err = h.cautions(v, o, fitting); err != nil {
			return err
		}
	}
	tasks := count(n, "task")
	if page.Many { // then all that match are changed, and the button must not say less
		tasks += " or more"
	}
	page.Button = page.ActionText.Verb + " " + tasks
	if o.Action == queue.ActionRun {
		page.Button = "Run " + tasks + " now"
	}
	page.Hidden = append(fields(o.Fields), field{"expected", fmt.Sprint(n)}, field{"back", page.Back})
	if o.After != "" {
		page.Hidden = append(page.Hidden, field{"after", o.After})
	}
	return h.render(v, http.StatusOK, "confirm", page)
}

// fields returns values as hidden fields of a form.
func fields(values url.Values) (list []field) {
	for name, all := range values {
		for _, value := range all {
			list = append(list, field{name, value})
		}
	}
	slices.SortFunc(list, func(a, b field) int {
		if a.Name != b.Name {
			return strings.Compare(a.Name, b.Name)
		}
		return strings.Compare(a.Value, b.Value)
	})
	return list
}
