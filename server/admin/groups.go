package admin

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// What the pages of groups show.
const (
	groupsShown  = 50
	membersShown = 20
)

// groupLine is one group, with the address of its page.
type groupLine struct {
	*queue.Group
	URL string
}

type groupsPage struct {
	layout
	Groups []groupLine
	Next   string // address of the next page
}

// groups lists the groups, those created last first.
func (h *handler) groups(v *visit) error {
	after := v.r.URL.Query().Get("after")
	list, err := h.Client.Groups(v.r.Context(), queue.GroupsRequest{Limit: groupsShown, After: after})
	if errors.Is(err, queue.ErrInvalid) {
		return &pageError{http.StatusBadRequest, lang.M("No such page"), lang.M("This is not the address of a page of groups. Start at the first one.")}
	}
	if err != nil {
		return groupError(err)
	}
	page := groupsPage{layout: h.layout(v, v.t("Groups"), "/groups")}
	for _, g := range list.Groups {
		page.Groups = append(page.Groups, groupLine{g, h.groupURL(g.ID)})
	}
	if list.Next != "" {
		page.Next = h.link("/groups", "after", list.Next)
	}
	page.Every = 10
	return h.render(v, http.StatusOK, "groups", page)
}

// groupURL is the address of the page of a group; empty for none.
func (h *handler) groupURL(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return h.link("/groups/" + id.String())
}

type groupPage struct {
	layout
	groupLine
	Ends    []groupEnd
	Samples []groupSample
}

// groupEnd is a task that a group enqueues.
type groupEnd struct {
	When, Task, URL string // URL is empty until it is enqueued
}

// groupSample are some tasks of a group in one state.
type groupSample struct {
	Title string
	Rows  []sampleRow
	More  bool
}

// sampleRow is one task of a sample.
type sampleRow struct {
	ID, URL, Error string
	Row            *queue.Row // nil: it is deleted
}

// group shows one group with its counts, and tasks of it: those that have failed first.
func (h *handler) group(v *visit) error {
	id, err := uuid.Parse(v.rest)
	if err != nil {
		return groupError(queue.ErrGroupNotFound)
	}
	g, err := h.Client.Group(v.r.Context(), id)
	if err != nil {
		return groupError(err)
	}
	page := groupPage{layout: h.layout(v, v.t("Group %s", cmp.Or(g.Name, id.String())), "/groups"), groupLine: groupLine{g, h.groupURL(id)}}
	page.end(v.t("When all tasks have succeeded"), g.OnSuccess, h, true, !g.SucceededAt.IsZero())
	page.end(v.t("When the first task fails or is cancelled"), g.OnFailure, h, false, !g.FailedAt.IsZero())
	for _, s := range []struct {
		title  string
		states []queue.MemberState
	}{
		{v.t("Failed and cancelled"), []queue.MemberState{queue.MemberFailed, queue.MemberCancelled}},
		{v.t("Unfinished"), []queue.MemberState{queue.MemberUnfinished, queue.MemberUnfinishedAgain}},
		{v.t("Successful"), []queue.MemberState{queue.MemberSuccessful, queue.MemberSuccessfulAgain}},
	} {
		sample, err := h.groupSample(v.r.Context(), id, s.title, s.states)
		if err != nil {
			return err
		}
		if len(sample.Rows) > 0 {
			page.Samples = append(page.Samples, sample)
		}
	}
	if g.State() == queue.GroupOpen || g.State() == queue.GroupRunning {
		page.Every = 5
	}
	return h.render(v, http.StatusOK, "group", page)
}

func (p *groupPage) end(when string, to *queue.Completion, h *handler, success, enqueued bool) {
	if to == nil {
		return
	}
	end := groupEnd{When: when, Task: to.Task}
	if enqueued {
		end.URL = h.link("/tasks/" + queue.CompletionID(p.ID, success).String())
	}
	p.Ends = append(p.Ends, end)
}

// groupSample reads some tasks of a group in the given states.
func (h *handler) groupSample(ctx context.Context, group uuid.UUID, title string, states []queue.MemberState) (sample groupSample, err error) {
	sample.Title = title
	ids, err := h.Client.GroupMembers(ctx, queue.MembersRequest{Group: group, States: states, Limit: membersShown + 1})
	if err != nil || len(ids) == 0 {
		return sample, err
	}
	if sample.More = len(ids) > membersShown; sample.More {
		ids = ids[:membersShown]
	}
	found, err := h.operator.List(ctx, queue.ListRequest{Selection: queue.Selection{IDs: ids}, Limit: len(ids)})
	if err != nil {
		return sample, err
	}
	rows := make(map[uuid.UUID]*queue.Row, len(ids))
	for _, row := range found.Rows {
		rows[row.ID] = row
	}
	for _, id := range ids {
		line := sampleRow{ID: id.String(), URL: h.link("/tasks/" + id.String()), Row: rows[id]}
		if line.Row != nil {
			line.Error = clip(line.Row.ErrorText, 200)
		}
		sample.Rows = append(sample.Rows, line)
	}
	return sample, nil
}

// actOnGroup closes a group, or cancels its tasks.
func (h *handler) actOnGroup(v *visit) error {
	id, err := uuid.Parse(v.r.PostFormValue("group"))
	if err != nil {
		return groupError(queue.ErrGroupNotFound)
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), h.budget)
	defer cancel()
	done := notice{Good: true}
	switch v.r.PostFormValue("do") {
	case "close":
		if _, err = h.Client.CloseGroup(ctx, id); err == nil {
			done.Text = v.t("The group is closed. It succeeds when all of its tasks have succeeded.")
			err = h.Client.RecordAudit(ctx, v.person.Name, actionCloseGroup, uuid.Nil, "group "+id.String())
		}
	case "cancel":
		var result queue.ActionResult
		if result, err = h.Client.CancelGroup(ctx, id, v.person.Name, nil); err == nil {
			done.Text = v.t("%d tasks were cancelled.", result.Done)
			if done.Good = result.Locked == 0 && !result.More; !done.Good {
				done.Text = lang.Sentences(done.Text, v.t("Some are left, because another transaction has locked them or time ran out. Repeat the action."))
			}
		}
	default:
		return &pageError{http.StatusBadRequest, lang.M("No such action"), lang.M("Actions on groups are close and cancel.")}
	}
	if err != nil {
		return groupError(err)
	}
	h.stats.forget()
	h.leaveNotice(v, done)
	v.redirect(h.groupURL(id))
	return nil
}

// groupError is an error about groups as a page shows it.
func groupError(err error) error {
	switch {
	case errors.Is(err, queue.ErrGroupNotFound):
		return &pageError{http.StatusNotFound, lang.M("No such group"), lang.M("No group has this ID. It may have been purged.")}
	case errors.Is(err, queue.ErrUnsupported):
		return &pageError{http.StatusNotImplemented, lang.M("Groups are not available"), lang.M("The store of this program does not support groups.")}
	}
	return err
}
