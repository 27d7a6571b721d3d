package admin

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// progress of a bulk action, over all its requests.
type progress struct {
	Expected     int // tasks that were confirmed; 0: tasks that were picked one by one
	Done         int
	Undispatched int
	Locked       int       // rows of the last request that another transaction had locked
	Taken        int       // rows of the last request whose keys live tasks hold
	TakenBy      lang.Text // the task that does, of one row
	Dropped      int       // rows of the last request whose arguments are gone
	Paused       string    // queues whose tasks the last request has skipped, and how many
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
	Order      order
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
		page := progressPage{layout: h.layout(v, v.p.Text(actionTexts[o.Action].Verb), "/tasks"), ActionText: actionTexts[o.Action], Order: o, Progress: p, Back: h.back(v)}
		page.Most = max(p.Expected, p.Done)
		page.Hidden = append(append(fields(o.Fields), p.fields()...), field{"back", page.Back})
		return h.render(v, http.StatusOK, "progress", page)
	}
	h.leaveNotice(v, p.notice(o, v.p))
	v.redirect(h.back(v))
	return nil
}

// carryOn does as much as one request has time for, and never more than was
// confirmed: tasks that match or fail since then would be changed unseen. It reports
// whether something is left to do.
func (h *handler) carryOn(v *visit, o order, p *progress) (more bool, err error) {
	ctx := v.r.Context()
	r := queue.ActRequest{Action: o.Action, Selection: o.Selection, After: o.After, Actor: v.person.Name, Target: o.Words.String()}
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
	if p.TakenBy = (lang.Text{}); acted.Taken == 1 && len(o.Selection.IDs) == 1 {
		p.TakenBy = h.takenBy(v.r.Context(), o.Selection.IDs[0])
	}
	advanced := acted.Done > 0 || acted.Next != o.After
	return acted.More && advanced && (!p.bounded() || p.left() > 0), err
}

// takenBy says which task holds the key of a FAILED one; empty if that cannot be read.
func (h *handler) takenBy(ctx context.Context, id uuid.UUID) (none lang.Text) {
	row, err := h.Client.Get(ctx, id)
	if err != nil {
		return none
	}
	holder, err := h.Client.KeyHolder(ctx, row)
	if err != nil || holder == nil {
		return none
	}
	return lang.M("Not retried: task %s, which is %s, holds its unique key.", holder.ID, holder.Status)
}

// stopped returns the error of an action that could not continue, with its progress.
func (h *handler) stopped(o order, p progress, err error) error {
	shown := h.explain(err)
	h.Logger.Warn("an action on the admin's pages stopped", "action", o.Action, "target", o.Words.String(), "done", p.Done, "error", err)
	if p.Done == 0 {
		return shown
	}
	return &pageError{shown.status, shown.title, lang.Join(lang.M("The action stopped after %d tasks.", p.Done), shown.text)}
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
func (p progress) notice(o order, printer *lang.Printer) notice {
	sentences := []lang.Text{lang.M("Nothing was changed.")}
	if p.Done > 0 {
		sentences[0] = actionTexts[o.Action].done(p.Done)
	}
	if p.Undispatched > 0 {
		sentences = append(sentences, lang.M("%d could not be dispatched; the sweeper will dispatch them.", p.Undispatched))
	}
	unchanged := p.unchanged()
	sentences = append(sentences, unchanged...)
	if skipped := p.skipped(o); skipped > 0 {
		sentences = append(sentences, lang.M("%d were skipped.", skipped), actionTexts[o.Action].Only)
	}
	if p.Beyond > 0 && p.Done > 0 {
		sentences = append(sentences, lang.M("%d more matched by then: they were not confirmed and are unchanged.", p.Beyond))
	}
	return notice{
		Text: printer.Text(lang.Join(sentences...)),
		Good: p.Undispatched == 0 && p.Done > 0 && len(unchanged) == 0,
	}
}

// unchanged says which tasks the action was for and has not changed.
func (p progress) unchanged() (sentences []lang.Text) {
	say := func(n int, why lang.Text) {
		if n > 0 {
			sentences = append(sentences, why)
		}
	}
	say(p.Locked, lang.M("%d were locked by another transaction and not changed: retry when that has ended.", p.Locked))
	say(p.PausedTasks, lang.M("%d were skipped because their queue is paused (%s).", p.PausedTasks, p.Paused))
	say(p.LimitedTasks, lang.M("%d were skipped because they wait for a limit (%s).", p.LimitedTasks, p.LimitedBy))
	taken := p.TakenBy
	if taken.IsEmpty() {
		taken = lang.M("%d were not retried: unfinished tasks hold their unique keys.", p.Taken)
	}
	say(p.Taken, taken)
	say(p.Dropped, lang.M("%d were not retried: retention removed their arguments.", p.Dropped))
	say(p.Unreadable, lang.M("%d could not be decrypted: whether they match is unknown.", p.Unreadable))
	return sentences
}

// skipped is how many tasks the action was not for any more.
func (p progress) skipped(o order) int {
	expected := max(p.Expected, o.Picked)
	if expected >= countMost {
		return 0
	}
	return max(0, expected-p.Done-p.Locked-p.Taken-p.Dropped-p.PausedTasks-p.LimitedTasks)
}
