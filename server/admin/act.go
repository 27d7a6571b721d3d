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
	Expected     int // as many as were confirmed; 0: tasks that were picked
	Done         int
	Undispatched int
	Locked       int // rows of the last request that another transaction had locked
	Beyond       int // those that matched at the first request, and were not confirmed
}

// readProgress reads what the confirmation, or the request before, put into its
// form.
func readProgress(v *visit) progress {
	return progress{
		Expected: formNumber(v, "expected"), Done: formNumber(v, "done"),
		Undispatched: formNumber(v, "undispatched"), Beyond: formNumber(v, "beyond"),
	}
}

// bounded reports whether exactly so many were confirmed: not "countMost or
// more", and not tasks that were picked one by one.
func (so progress) bounded() bool { return so.Expected > 0 && so.Expected < countMost }

// left is how many may still be changed.
func (so progress) left() int { return max(0, so.Expected-so.Done) }

func (so progress) fields() []field {
	return []field{
		{"expected", fmt.Sprint(so.Expected)}, {"done", fmt.Sprint(so.Done)},
		{"undispatched", fmt.Sprint(so.Undispatched)}, {"beyond", fmt.Sprint(so.Beyond)},
	}
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
	so := readProgress(v)
	if o.Picked == 0 && so.Expected == 0 {
		return &pageError{http.StatusBadRequest, "Not confirmed", "How many tasks were confirmed is not said. Nothing was done: go back, and choose again."}
	}
	more, err := h.carryOn(v, o, &so)
	if err != nil {
		return h.stopped(o, so, err)
	}
	if more {
		page := progressPage{layout: h.layout(v, deeds[o.Action].Verb, "/tasks"), Deed: deeds[o.Action], Words: o.Words, So: so, Back: h.back(v)}
		page.Most = max(so.Expected, so.Done)
		page.Hidden = append(append(fields(o.Fields), so.fields()...), field{"back", page.Back})
		return h.render(v, http.StatusOK, "progress", page)
	}
	h.leaveNotice(v, so.notice(o))
	http.Redirect(v.w, v.r, h.back(v), http.StatusSeeOther)
	return nil
}

// carryOn does what one request has time for, and never more than was
// confirmed: what came to match since, or fails anew meanwhile, would be changed
// unseen. It reports whether something is left to do.
func (h *handler) carryOn(v *visit, o order, so *progress) (more bool, err error) {
	ctx := v.r.Context()
	r := queue.ActRequest{Action: o.Action, Selection: o.Selection, Actor: v.person.Name, Target: o.Words}
	if so.bounded() {
		if r.Limit = so.left(); r.Limit == 0 { // a form that was sent again
			return false, nil
		}
		if so.Done == 0 {
			n, err := h.Client.CountMatching(ctx, o.Action, o.Selection, countMost)
			if err != nil {
				return false, err
			}
			so.Beyond = max(0, n-so.Expected)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, h.budget)
	defer cancel()
	acted, err := h.Client.Act(ctx, r, nil)
	h.board.forget()
	so.Done += acted.Done
	so.Undispatched += acted.Undispatched
	so.Locked = acted.Locked
	return acted.More && acted.Done > 0 && (!so.bounded() || so.left() > 0), err
}

// stopped says of an action that could not go on how far it came.
func (h *handler) stopped(o order, so progress, err error) error {
	told := h.explain(err)
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
		skipped = max(0, expected-so.Done-so.Locked)
	}
	n := notice{Good: so.Undispatched == 0 && so.Done > 0}
	switch {
	case so.Done > 0:
		n.Text = fmt.Sprintf("%s %s %s", count(so.Done, "task"), isAre(so.Done), d.Are)
	default:
		n.Text = "Nothing was changed"
	}
	if so.Undispatched > 0 {
		n.Text += fmt.Sprintf(", %s of them could not be dispatched (the sweeper will)", num(so.Undispatched))
	}
	if so.Locked > 0 {
		n.Good = false
		n.Text += fmt.Sprintf(", %s locked by another transaction and not changed: try again when that has ended", num(so.Locked))
	}
	if skipped > 0 {
		n.Text += fmt.Sprintf(", %s skipped: they %s", num(skipped), d.Passed)
	}
	n.Text += "."
	if so.Beyond > 0 && so.Done > 0 {
		n.Text += fmt.Sprintf(" %s more matched by then: they were not confirmed, and are left as they were.", num(so.Beyond))
	}
	return n
}
