package httpapi

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// limits lists the limits and how many tasks run under each.
func (h *handler) limits(w http.ResponseWriter, r *http.Request, _ string) {
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	use, err := h.Client.LimitUse(ctx, nil)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, api.LimitsOf(use, h.Client.CodeLimits()))
}

// limitQueue changes the limit of a queue.
func (h *handler) limitQueue(w http.ResponseWriter, r *http.Request, name string) {
	h.changeLimit(w, r, queue.LimitQueue, name)
}

// limitNamed changes the limit of a task or of a limit key, or that of each limit key of a
// task.
func (h *handler) limitNamed(w http.ResponseWriter, r *http.Request, name string) {
	h.changeLimit(w, r, queue.LimitName, name)
}

// limitName returns the name in the path of a limit: a limit key may have any character,
// with a slash escaped.
func limitName(u *url.URL) (name string, ok bool) {
	rest, ok := strings.CutPrefix(u.EscapedPath(), "/tasks/limits/")
	segment := strings.TrimSuffix(rest, "/")
	if !ok || segment == "" || strings.Contains(segment, "/") {
		return "", false
	}
	name, err := url.PathUnescape(segment)
	return name, err == nil
}

func (h *handler) changeLimit(w http.ResponseWriter, r *http.Request, kind queue.LimitKind, name string) {
	body, err := readBody(w, r, h.MaxBody)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	change, err := api.ParseLimitChange(kind, name, body)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	nothing, err := api.RemovesNothing(ctx, h.Client, change)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	set := func() (queue.Limit, error) { return h.Client.ChangeLimit(ctx, change, apiActor) }
	if change.Reset {
		set = func() (queue.Limit, error) { return h.Client.ResetLimit(ctx, change.Kind, change.Name, apiActor) }
	}
	limit, err := set()
	if err != nil {
		h.fail(w, r, err)
		return
	}
	answer := api.LimitSet(ctx, h.Client, limit)
	answer.Warning = cmp.Or(answer.Warning, nothing)
	writeJSON(w, http.StatusOK, answer)
}
