package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// listBudget is how long one request searches for contents.
const listBudget = 2 * time.Second

// list answers with a page of tasks.
func (h *handler) list(w http.ResponseWriter, r *http.Request, _ string) {
	request, err := api.ParseList(r.URL.Query(), time.Now())
	if err == nil && request.Backend != "" && !h.Client.HasBackend(request.Backend) {
		err = errBackend
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	request.Hidden, request.Budget = h.Redact, listBudget
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	answer, err := api.List(ctx, h.Client, request)
	if errors.Is(err, api.ErrCursor) {
		err = api.BadRequest("cursor must be the next of an earlier page with the same filters")
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}
