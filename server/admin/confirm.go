package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

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
	Words     lang.Text  // describes the chosen tasks; the audit log has it in English
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
			return order{}, &pageError{http.StatusBadRequest, lang.M("Invalid filter"), verbatim(problem)}
		}
		o := order{Action: queue.Action(all), Selection: f.Selection, Words: f.Words(), Fields: f.fixed()}
		o.Fields.Set("all", all)
		if f.ByContents() && form.Get("after") != "" {
			o.After, o.Words = form.Get("after"), lang.M("%s, beginning with the page that was shown", o.Words)
		}
		return o.checked()
	}
	o := order{Action: queue.Action(form.Get("do")), Fields: url.Values{"do": {form.Get("do")}}}
	for _, text := range form["pick"] {
		id, err := uuid.Parse(text)
		if err != nil {
			return order{}, &pageError{http.StatusBadRequest, lang.M("Task not found"), lang.M("One of the IDs is not a task ID.")}
		}
		if !slices.Contains(o.Selection.IDs, id) {
			o.Selection.IDs = append(o.Selection.IDs, id)
			o.Fields.Add("pick", id.String())
		}
	}
	if o.Picked = len(o.Selection.IDs); o.Picked == 0 {
		return order{}, &pageError{http.StatusBadRequest, lang.M("No task is selected"), lang.M("Go back and select tasks, or choose all matching.")}
	}
	if o.Words = lang.M("%d selected tasks", o.Picked); o.Picked == 1 {
		o.Words = lang.M("task %s", o.Selection.IDs[0].String())
	}
	return o.checked()
}

// Chosen describes the chosen tasks behind the word for it.
func (o order) Chosen() lang.Text {
	if o.Picked > 1 {
		return lang.M("%d tasks", o.Picked)
	}
	return o.Words
}

func (o order) checked() (order, error) {
	if _, ok := actionTexts[o.Action]; !ok {
		return order{}, &pageError{http.StatusBadRequest, lang.M("No such action"), lang.M("Actions are run, retry, requeue, cancel and delete.")}
	}
	return o, o.Selection.Check()
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
	Cautions      []lang.Text // what speaks against it
	Sample        []rowLine
	Sampled       lang.Text // what they are
	Reason        lang.Text // why none is changed; empty: the action is not for any of them
	Button        string
	Number        string // how many tasks are changed
	Hidden        []field
	Back          string
}

// confirm counts what an action would change, and shows some of it. It changes
// nothing, so it is an ordinary page that can be reloaded.
func (h *handler) confirm(v *visit) error {
	if err := v.r.ParseForm(); err != nil {
		return &pageError{http.StatusBadRequest, lang.M("Invalid address"), verbatim(err.Error())}
	}
	if v.person.ReadOnly {
		return errReadOnly
	}
	o, err := h.readOrder(v)
	if err != nil {
		return err
	}
	ctx, begun := v.r.Context(), time.Now()
	h.stats.prepare(ctx, v.now) // while tasks are counted
	counted, err := h.Client.Count(ctx, queue.CountRequest{Action: o.Action, Selection: o.Selection, After: o.After, Limit: countMost, Budget: h.budget})
	if err != nil {
		return err
	}
	n := counted.Count
	page := confirmPage{
		layout: h.layout(v, v.t("Confirm"), "/tasks"), Order: o, ActionText: actionTexts[o.Action], Count: n, Many: n >= countMost, Back: h.back(v),
		More: counted.More, Unreadable: counted.Unreadable, HiddenLeftOut: o.Selection.ByContents() && h.hidden != nil,
	}
	if n > 0 {
		listed, err := h.Client.List(ctx, queue.ListRequest{Selection: o.Selection, After: o.After, Limit: max(sampleRows, o.Picked)})
		if err != nil {
			return err
		}
		fitting := slices.DeleteFunc(listed.Rows, func(row *queue.Row) bool { return !page.ActionText.suits(row, v.now) })
		page.Sample = h.rowLines(fitting[:min(sampleShown, len(fitting))], v.words())
		page.Sampled = sampled(len(page.Sample), len(fitting), n)
		if page.Cautions, err = h.cautions(v, o, fitting, begun); err != nil {
			return err
		}
	}
	if n == 0 && o.Picked > 0 {
		if page.Reason, err = h.whyNone(v, o, page.ActionText); err != nil {
			return err
		}
	}
	page.Button = v.p.Text(page.ActionText.button(n, page.Many))
	page.Number = v.t("%d tasks will be changed.", n)
	switch {
	case page.Many:
		page.Number = v.t("%d or more tasks will be changed.", n)
	case o.Picked > n:
		page.Number = v.t("%d tasks will be changed; the others are skipped.", n)
	}
	page.Hidden = append(fields(o.Fields), field{"expected", fmt.Sprint(n)}, field{"back", page.Back})
	if o.After != "" {
		page.Hidden = append(page.Hidden, field{"after", o.After})
	}
	return h.render(v, http.StatusOK, "confirm", page)
}

// whyNone says why an action changes none of the tasks that were picked, if their states are
// not the reason.
func (h *handler) whyNone(v *visit, o order, of actionText) (lang.Text, error) {
	listed, err := h.Client.List(v.r.Context(), queue.ListRequest{Selection: o.Selection, Limit: o.Picked})
	switch {
	case err != nil:
		return lang.Text{}, err
	case len(listed.Rows) == 0:
		return lang.M("The selected tasks do not exist. They may have been deleted or purged."), nil
	case o.Action == queue.ActionRetry && slices.ContainsFunc(listed.Rows, func(row *queue.Row) bool { return of.suits(row, v.now) }):
		return lang.M("Unfinished tasks hold the unique keys of the selected tasks."), nil
	}
	return lang.Text{}, nil
}

// sampled describes the tasks shown, of those whose states suit the action, of which it changes
// n: it skips more, such as those of paused queues.
func sampled(shown, fitting, n int) lang.Text {
	switch {
	case fitting > n:
		return lang.M("Some of the selected tasks")
	case shown < n:
		return lang.M("Some of them")
	default:
		return lang.M("All of them")
	}
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
