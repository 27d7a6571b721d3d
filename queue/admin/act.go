package admin

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/claimcheck-go/claimcheck/queue"
)

// progress is how far an action on many tasks is, over all requests of it.
type progress struct {
	Expected     int // when it was confirmed; 0: not counted
	Done         int
	Undispatched int
}

// progressPage shows how far an action is, and goes on.
type progressPage struct {
	layout
	Deed   deed
	Words  string
	So     progress
	Most   int // of the bar
	Hidden []field
	Back   string
}

// act carries an action out, within the time that one request has. What is left
// is done by the request that the progress page sends.
func (h *handler) act(v *visit) error {
	o, err := h.readOrder(v)
	if err != nil {
		return err
	}
	so := progress{Expected: formNumber(v, "expected"), Done: formNumber(v, "done"), Undispatched: formNumber(v, "undispatched")}
	ctx, cancel := context.WithTimeout(v.r.Context(), h.budget)
	defer cancel()
	acted, err := h.Client.Act(ctx, queue.ActRequest{Action: o.Action, Selection: o.Selection, Actor: v.person.Name, Target: o.Words}, nil)
	h.board.forget()
	so.Done += acted.Done
	so.Undispatched += acted.Undispatched
	if err != nil {
		return h.stopped(o, so, err)
	}
	// Tasks that fail anew meanwhile would match again: what was confirmed bounds it.
	reached := so.Expected > 0 && so.Expected < countMost && so.Done >= so.Expected
	if acted.More && acted.Done > 0 && !reached {
		page := progressPage{layout: h.layout(v, deeds[o.Action].Verb, "/tasks"), Deed: deeds[o.Action], Words: o.Words, So: so, Back: h.back(v)}
		page.Most = max(so.Expected, so.Done)
		page.Hidden = append(fields(o.Fields), field{"expected", fmt.Sprint(so.Expected)}, field{"done", fmt.Sprint(so.Done)},
			field{"undispatched", fmt.Sprint(so.Undispatched)}, field{"back", page.Back})
		return h.render(v, http.StatusOK, "progress", page)
	}
	h.leaveNotice(v, so.notice(o))
	http.Redirect(v.w, v.r, h.back(v), http.StatusSeeOther)
	return nil
}

// stopped says of an action that could not go on how far it came.
func (h *handler) stopped(o order, so progress, err error) error {
	told := explain(err)
	h.Logger.Warn("an action on the admin's pages stopped", "action", o.Action, "target", o.Words, "done", so.Done, "error", err)
	if so.Done == 0 {
		return told
	}
	return &pageError{told.status, told.title, fmt.Sprintf("%s %s %s before it stopped. %s", count(so.Done, "task"), isAre(so.Done), deeds[o.Action].Are, told.text)}
}

// formNumber reads a number that one of these pages put into its form.
func formNumber(v *visit, name string) int {
	n, err := strconv.Atoi(v.r.PostFormValue(name))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// notice says in words what was done.
func (so progress) notice(o order) notice {
	d := deeds[o.Action]
	expected := max(so.Expected, o.Picked)
	skipped := 0
	if expected < countMost {
		skipped = max(0, expected-so.Done)
	}
	n := notice{Good: so.Undispatched == 0 && so.Done > 0}
	switch {
	case so.Done > 0:
		n.Text = fmt.Sprintf("%s %s %s", count(so.Done, "task"), isAre(so.Done), d.Are)
	default:
		n.Text = "Nothing was changed"
	}
	if so.Undispatched > 0 {
		n.Text += fmt.Sprintf(", %d of them could not be dispatched (the sweeper will)", so.Undispatched)
	}
	if skipped > 0 {
		n.Text += fmt.Sprintf(", %d skipped: they %s", skipped, d.Passed)
	}
	n.Text += "."
	return n
}
