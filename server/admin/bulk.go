package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// progress of a bulk action, over all its requests.
type progress struct {
	Expected     int // tasks that were confirmed; 0: tasks that were picked one by one
	Done         int
	Undispatched int
	Locked       int    // rows of the last request that another transaction had locked
	Taken        int    // rows of the last request whose keys live tasks hold
	TakenBy      string // the task that does, of one row
	Dropped      int    // rows of the last request whose arguments are gone
	Paused       string // queues whose tasks the last request has skipped, and how many
	PausedTasks  int
	LimitedBy    string // limits that keep tasks waiting which the last request has skipped, and how many
	LimitedTasks int
	Beyond       int    // tasks that matched at the first request and were not confirmed
	Next         string // where a search goes on
	Unreadable   int    // tasks that the last request's search could not decrypt
}

// readProgress reads the progress from the form of the confirmation or of the
// previous request.
func readProgress(v *visit) progress {
	return progress{
		Expected: formNumber(v, "expected"), Done: formNumber(v, "done"),
		Undispatched: formNumber(v, "undispatched"), Beyond: formNumber(v, "beyond"),
	}
}

// bounded reports whether an exact number was confirmed: neither "countMost or more"
// nor tasks that were picked one by one.
func (p progress) bounded() bool { return p.Expected > 0 && p.Expected < countMost }

// left returns how many tasks may still be changed.
func (p progress) left() int { return max(0, p.Expected-p.Done) }

func (p progress) fields() []field {
	list := []field{
		{"expected", fmt.Sprint(p.Expected)}, {"done", fmt.Sprint(p.Done)},
		{"undispatched", fmt.Sprint(p.Undispatched)}, {"beyond", fmt.Sprint(p.Beyond)},
	}
	if p.Next != "" {
		list = append(list, field{"after", p.Next})
	}
	return list
}

// progressPage shows the progress of an action, and continues it.
type progressPage struct {
	layout
	ActionText actionText
	Words      string
	Progress   progress
	Most       int // of the bar
	Hidden     []field
	Back       string
}

// act carries out an action within the time of one request. The progress page sends
// the next request, which does the rest.
func (h *handler) act(v *visit) error {
	o, err := h.readOrder(v)
	if err != nil {
		return err
	}
	p := readProgress(v)
	if o.Picked == 0 && p.Expected == 0 {
		return &pageError{http.StatusBadRequest, lang.M("Not confirmed"), lang.M("The form does not say how many tasks were confirmed. Nothing was done: go back and choose again.")}
	}
	more, err := h.carryOn(v, o, &p)
	if err != nil {
		return h.stopped(o, p, err)
	}
	if more {
		page := progressPage{layout: h.layout(v, actionTexts[o.Action].Verb, "/tasks"), ActionText: actionTexts[o.Action], Words: o.Words, Progress: p, Back: h.back(v)}
		page.Most = max(p.Expected, p.Done)
		page.Hidden = append(append(fields(o.Fields), p.fields()...), field{"back", page.Back})
		return h.render(v, http.StatusOK, "progress", page)
	}
	h.leaveNotice(v, p.notice(o))
	v.redirect(h.back(v))
	return nil
}

// carryOn does as much as one request has time for, and never more than was
// confirmed: tasks that match or fail since then would be changed unseen. It reports
// whether something is left to do.
func (h *handler) carryOn(v *visit, o order, p *progress) (more bool, err error) {
	ctx := v.r.Context()
	r := queue.ActRequest{Action: o.Action, Selection: o.Selection, After: o.After, Actor: v.person.Name, Target: o.Words}
	if p.bounded() {
		if r.Limit = p.left(); r.Limit == 0 { // a form that was sent again
			return false, nil
		}
		if p.Done == 0 && !o.Selection.ByContents() { // a search would be repeated
			n, err := h.Client.CountMatching(ctx, o.Action, o.Selection, countMost)
			if err != nil {
				return false, err
			}
			p.Beyond = max(0, n-p.Expected)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, h.budget)
	defer cancel()
	acted, err := h.Client.Act(ctx, r, nil)
	h.stats.forget()
	p.Done += acted.Done
	p.Undispatched += acted.Undispatched
	p.Locked, p.Taken, p.Dropped, p.Paused, p.PausedTasks = acted.Locked, acted.Taken, acted.Dropped, acted.PausedQueues, acted.Paused
	p.LimitedBy, p.LimitedTasks = acted.LimitedBy, acted.Limited
	p.Next, p.Unreadable = acted.Next, acted.Unreadable
	if p.TakenBy = ""; acted.Taken == 1 && len(o.Selection.IDs) == 1 {
		p.TakenBy = h.takenBy(v.r.Context(), o.Selection.IDs[0])
	}
	advanced := acted.Done > 0 || acted.Next != o.After
	return acted.More && advanced && (!p.bounded() || p.left() > 0), err
}

// takenBy says which task holds the key of a FAILED one; empty if that cannot be read.
func (h *handler) takenBy(ctx context.Context, id uuid.UUID) string {
	row, err := h.Client.Get(ctx, id)
	if err != nil {
		return ""
	}
	holder, err := h.Client.KeyHolder(ctx, row)
	if err != nil || holder == nil {
		return ""
	}
	return fmt.Sprintf("task %s, which is %s, holds its unique key", holder.ID, holder.Status)
}

// stopped returns the error of an action that could not continue, with its progress.
func (h *handler) stopped(o order, p progress, err error) error {
	shown := h.explain(err)
	h.Logger.Warn("an action on the admin's pages stopped", "action", o.Action, "target", o.Words, "done", p.Done, "error", err)
	if p.Done == 0 {
		return shown
	}
	return &pageError{shown.status, shown.title, lang.M("%s %s", verbatim(count(p.Done, "task")+" "+isAre(p.Done)+" "+actionTexts[o.Action].Are+" before it stopped."), shown.text)}
}

// formNumber reads a number from a form that one of these pages made.
func formNumber(v *visit, name string) int {
	n, err := strconv.Atoi(v.r.PostFormValue(name))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// notice describes what was done.
func (p progress) notice(o order) notice {
	d := actionTexts[o.Action]
	expected := max(p.Expected, o.Picked)
	skipped := 0
	if expected < countMost {
		skipped = max(0, expected-p.Done-p.Locked-p.Taken-p.Dropped-p.PausedTasks-p.LimitedTasks)
	}
	n := notice{Good: p.Undispatched == 0 && p.Done > 0}
	switch {
	case p.Done > 0:
		n.Text = fmt.Sprintf("%s %s %s", count(p.Done, "task"), isAre(p.Done), d.Are)
	default:
		n.Text = "Nothing was changed"
	}
	if p.Undispatched > 0 {
		n.Text += fmt.Sprintf(", %s of them could not be dispatched (the sweeper will)", num(p.Undispatched))
	}
	if p.Locked > 0 {
		n.Good = false
		n.Text += fmt.Sprintf(", %s locked by another transaction and not changed: retry when that has ended", num(p.Locked))
	}
	if p.PausedTasks > 0 {
		n.Good = false
		n.Text += fmt.Sprintf(", %s skipped because %s %s paused", num(p.PausedTasks), p.Paused, isAre(1+strings.Count(p.Paused, ",")))
	}
	if p.LimitedTasks > 0 {
		n.Good = false
		n.Text += fmt.Sprintf(", %s skipped because %s for %s", num(p.LimitedTasks), map[bool]string{true: "it waits", false: "they wait"}[p.LimitedTasks == 1], p.LimitedBy)
	}
	if p.Taken > 0 {
		n.Good = false
		n.Text += fmt.Sprintf(", %s not retried, because %s", num(p.Taken), cmp.Or(p.TakenBy, "tasks that have not ended hold their unique keys"))
	}
	if p.Dropped > 0 {
		n.Good = false
		n.Text += fmt.Sprintf(", %s not retried, because retention dropped %s arguments", num(p.Dropped), itsTheir(p.Dropped))
	}
	if p.Unreadable > 0 {
		n.Good = false
		n.Text += fmt.Sprintf(", %s not decrypted, so that it is not known whether they match", num(p.Unreadable))
	}
	if skipped > 0 {
		n.Text += fmt.Sprintf(", %s skipped: they %s", num(skipped), d.Passed)
	}
	n.Text += "."
	if p.Beyond > 0 && p.Done > 0 {
		n.Text += fmt.Sprintf(" %s more matched by then: they were not confirmed and are unchanged.", num(p.Beyond))
	}
	return n
}
