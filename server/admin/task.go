package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
	"github.com/claimcheck-go/claimcheck/server/internal/waiting"
)

// taskPage is all that is known of one task.
type taskPage struct {
	layout
	Row       *queue.Row
	State     state
	Flags     []string
	Why       string
	Attempts  []attempt
	Lost      int // attempts that are not shown, since they are too many
	Progress  *taskProgress
	Note      string
	NoNote    bool // the note may not be shown
	Args      document
	Result    document
	Saved     document // its checkpoint
	Whole     string   // address of the page with all of what is long
	Known     bool     // its name is registered here
	KeyHeld   bool     // it holds its unique key
	Paused    bool     // its queue is, so that it is not run
	Actions   []taskAction
	Links     []Link
	Curls     []curl
	Repeat    string // address of the form with its arguments
	DeleteAt  bool   // it has ended, and is deleted after Row.DeleteAt
	Overdue   bool   // that time is past
	Schedule  string // address of the schedule that it is of
	Group     string // address of the group that it belongs to
	GroupName string
	GroupEnd  bool   // it was enqueued at the end of the group
	Kind      string // address of the tasks of its name
	Queue     string // address of the tasks of its queue
	Same      string // address of the tasks that fail in the same way
	Audit     []auditLine
}

// taskProgress is how far a task has come.
type taskProgress struct {
	queue.TaskProgress
	Words string
}

// progressOf is how far a task has come: 120 of 400 (30%), or 120.
func progressOf(row *queue.Row, w words) *taskProgress {
	p := *row.Progress
	if p.Total == 0 {
		return &taskProgress{p, w.p.Number(p.Done)}
	}
	return &taskProgress{p, w.p.T("%d of %d (%s)", p.Done, p.Total, strconv.Itoa(api.Percent(p))+"%")}
}

// taskAction is a button.
type taskAction struct {
	Name   lang.Text
	Action queue.Action
	URL    string // of a confirmation; empty: the button does it
}

// auditShown is how many entries of the audit log a task's page has.
const auditShown = 20

func (h *handler) task(v *visit) error {
	id, err := uuid.Parse(v.rest)
	if err != nil {
		return queue.ErrNotFound
	}
	ctx := v.r.Context()
	row, err := h.Client.Get(ctx, id)
	if err != nil {
		return err
	}
	notes, err := h.operator.AuditLog(ctx, id, v.now.AddDate(100, 0, 0), auditShown)
	if err != nil {
		return err
	}
	use, err := h.limitUse(v, row)
	if err != nil {
		return err
	}
	whole, state := v.r.FormValue("whole") != "", stateOf(row, v.words())
	page := taskPage{
		layout: h.layout(v, v.t("Task %s", row.Task), "/tasks"), Row: row, State: state, Flags: h.flags(row, v.words()), Why: v.p.Text(h.why(row, state, use, v.now)),
		Whole: h.link("/tasks/"+id.String(), "whole", "1"), Known: h.registered(row.Task), KeyHeld: row.HoldsKey(v.now), Audit: h.auditLines(v, notes),
		Kind: h.link("/tasks", "task", row.Task), Queue: h.link("/tasks", "queue", row.Queue, "backend", row.Backend),
	}
	if row.Schedule != "" {
		page.Schedule = h.link("/schedules/" + row.Schedule)
	}
	h.ofGroup(ctx, &page)
	if err := h.paused(ctx, &page); err != nil {
		return err
	}
	page.Attempts, page.Lost = attempts(row, whole, v.now)
	h.show(&page, whole)
	if row.Status == queue.StatusFailed && row.ErrorGroup != "" {
		page.Same = h.link("/tasks", "view", string(queue.ViewFailed), "task", row.Task, "group", row.ErrorGroup)
	}
	if page.CanAct() {
		page.Actions = h.taskActions(page.State, row, page.Paused || page.State.Kind == "ready" && !waiting.Limited(row, use).IsEmpty())
	}
	page.DeleteAt = row.Status.Final() && !row.DeleteAt.IsZero()
	page.Overdue = page.DeleteAt && !row.DeleteAt.After(v.now)
	if page.Known && !row.Dropped() {
		page.Repeat = h.link("/types/"+h.names[row.Task], "from", id.String())
	}
	switch {
	case page.State.Runs != "": // it may report how far it is at any time
		page.Every = 2
	case !row.Status.Final():
		page.Every = 5
	}
	return h.render(v, http.StatusOK, "task", page)
}

// show adds what the task was given, reported and returned, and the ways elsewhere.
func (h *handler) show(page *taskPage, whole bool) {
	row := page.Row
	redacted := h.Redact(row.Task)
	if row.Progress != nil {
		page.Progress = progressOf(row, page.words)
	}
	if page.NoNote = redacted && row.Note != ""; !redacted {
		page.Note = row.Note
	}
	if redacted {
		page.Args, page.Result, page.Saved = document{Redacted: true}, document{Redacted: len(row.ReturnValue) > 0}, document{Redacted: len(row.Checkpoint) > 0}
	} else {
		page.Args, page.Result, page.Saved = h.shownArgs(row, whole), pretty(row.ReturnValue, whole), pretty(row.Checkpoint, whole)
	}
	page.Curls = curls(row, h.hidesArgs(row) || row.Dropped(), page.KeyHeld)
	if h.Links == nil {
		return
	}
	for _, link := range h.Links(row) {
		if u, err := url.Parse(link.URL); err == nil && (u.Scheme == "https" || u.Scheme == "http") {
			page.Links = append(page.Links, link)
		}
	}
}

// ofGroup adds the group of the task, with its name if it can be read.
func (h *handler) ofGroup(ctx context.Context, page *taskPage) {
	id := page.Row.Group
	if page.GroupEnd = id == uuid.Nil; page.GroupEnd {
		id = page.Row.Completes
	}
	if id == uuid.Nil {
		return
	}
	page.Group, page.GroupName = h.groupURL(id), id.String()
	if g, err := h.Client.Group(ctx, id); err == nil && g.Name != "" {
		page.GroupName = g.Name
	}
}

// paused says on the page of a READY task that its queue is paused.
func (h *handler) paused(ctx context.Context, page *taskPage) error {
	if page.Row.Status != queue.StatusReady {
		return nil
	}
	gates, err := h.Client.Gates(ctx)
	if errors.Is(err, queue.ErrUnsupported) {
		return nil
	}
	for _, g := range gates {
		if g.Queue == page.Row.Queue && g.Paused() {
			page.Paused, page.Why = true, page.p.Text(waiting.Paused(g))
		}
	}
	return err
}

// taskActions are the buttons that suit a task's state. A task of a paused queue, or one
// that waits for a limit, is not run.
func (h *handler) taskActions(s state, row *queue.Row, waits bool) []taskAction {
	id := row.ID.String()
	cancel := taskAction{lang.M("Cancel"), queue.ActionCancel, h.link("/confirm", "do", string(queue.ActionCancel), "pick", id, "back", h.link("/tasks/"+id))}
	// Not back to this page, which is gone then.
	remove := taskAction{lang.M("Delete"), queue.ActionDelete, h.link("/confirm", "do", string(queue.ActionDelete), "pick", id, "back", h.link("/tasks"))}
	switch s.Kind {
	case "ready", "delayed":
		if waits || !h.registered(row.Task) { // it would not run
			return []taskAction{cancel, remove}
		}
		return []taskAction{{lang.M("Run now"), queue.ActionRun, ""}, cancel, remove}
	case "lost":
		return []taskAction{{lang.M("Requeue"), queue.ActionRequeue, ""}, cancel}
	case "running":
		return []taskAction{cancel}
	case "failed":
		if row.Dropped() {
			return []taskAction{remove}
		}
		if row.Attempts < row.MaxAttempts || !h.registered(row.Task) { // a retry is not what helps
			return []taskAction{{lang.M("Retry anyway…"), queue.ActionRetry, h.link("/confirm", "do", string(queue.ActionRetry), "pick", id, "back", h.link("/tasks/"+id))}, remove}
		}
		return []taskAction{{lang.M("Retry"), queue.ActionRetry, ""}, remove}
	}
	return []taskAction{remove}
}

// labelled is a document with what names it, and where all of it is.
type labelled struct {
	Doc          document
	Label, Whole string
}

// Doc is what the template of a document needs.
func (p taskPage) Doc(d document, label, whole string) labelled { return labelled{d, label, whole} }

// auditLog is what the table of the audit log needs.
type auditLog struct {
	words
	Entries []auditLine
}

// Log is the audit log of the task.
func (p taskPage) Log(entries []auditLine) auditLog { return auditLog{p.words, entries} }
