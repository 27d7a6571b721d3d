package httpapi

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// groupsPage is how many groups a page has without the parameter limit.
const groupsPage = 50

// groups lists groups with their counts.
func (h *handler) groups(w http.ResponseWriter, r *http.Request, _ string) {
	limit, cursor, err := pageOf(r.URL.Query(), groupsPage)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	page, err := h.Client.Groups(ctx, queue.GroupsRequest{Limit: limit, After: cursor})
	if err != nil {
		h.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, api.NewGroupsAnswer(page))
}

// createGroup creates a group.
func (h *handler) createGroup(w http.ResponseWriter, r *http.Request, _ string) {
	body, err := readBody(w, r, h.MaxBody)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	spec, err := api.ParseGroup(body)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	g, err := h.Client.CreateGroup(ctx, spec)
	status, existed := http.StatusCreated, err == nil && g.Existed
	if existed {
		status = http.StatusOK
		g, err = h.Client.Group(ctx, g.ID) // with its counts
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	writeJSON(w, status, api.GroupAnswer{Group: api.NewGroupBody(g), Existed: existed})
}

// group answers with one group.
func (h *handler) group(w http.ResponseWriter, r *http.Request, id string) {
	h.answerGroup(w, r, id, h.Client.Group)
}

// closeGroup closes a group.
func (h *handler) closeGroup(w http.ResponseWriter, r *http.Request, id string) {
	if err := h.bareName(w, r); err != nil {
		h.fail(w, r, err)
		return
	}
	h.answerGroup(w, r, id, h.Client.CloseGroup)
}

// answerGroup answers with the group that a call returns.
func (h *handler) answerGroup(w http.ResponseWriter, r *http.Request, id string, call func(context.Context, uuid.UUID) (*queue.Group, error)) {
	parsed, err := parseGroupID(id)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	g, err := call(ctx, parsed)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, api.GroupAnswer{Group: api.NewGroupBody(g)})
}

// cancelGroup cancels the tasks of a group that have not ended.
func (h *handler) cancelGroup(w http.ResponseWriter, r *http.Request, id string) {
	parsed, err := parseGroupID(id)
	if err == nil {
		err = h.bareName(w, r)
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	limit := gateBudget
	if h.RequestTimeout > 0 {
		limit = min(limit, h.RequestTimeout/2)
	}
	ctx, cancel := h.within(r.Context(), limit)
	defer cancel()
	done, err := h.Client.CancelGroup(ctx, parsed, apiActor, nil)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	reading, stop := context.WithTimeout(r.Context(), databaseTimeout)
	defer stop()
	g, err := h.Client.Group(reading, parsed)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, api.CancelGroupAnswer{Cancelled: done.Done, Locked: done.Locked, More: done.More, Group: api.NewGroupBody(g)})
}

// parseGroupID reads the ID of a group; nothing else is any group's.
func parseGroupID(text string) (uuid.UUID, error) {
	id, err := api.ParseID(text)
	if err != nil {
		return id, queue.ErrGroupNotFound
	}
	return id, nil
}
