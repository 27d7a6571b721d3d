package httpapi

import (
	"context"
	"net/http"

	"github.com/claimcheck-go/claimcheck/queue"
)

// status answers with figures of a queue or of all.
func (h *handler) status(w http.ResponseWriter, r *http.Request, _ string) {
	query := r.URL.Query()
	filter, err := h.filter(given(query, "queue_name"), given(query, "backend_name"))
	if err != nil {
		h.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	figures, err := h.Client.Figures(ctx, filter)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, figures)
}

// cancel cancels a task that has not ended.
func (h *handler) cancel(w http.ResponseWriter, r *http.Request, id string) {
	taskID, err := h.bareTaskID(w, r, id)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	row, cancelled, err := h.Client.Cancel(ctx, taskID)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	status := http.StatusOK
	if !cancelled {
		status = http.StatusConflict
	}
	writeJSON(w, status, struct {
		Cancelled bool       `json:"cancelled"`
		Result    *queue.Row `json:"result"`
	}{cancelled, row})
}
