package httpapi

import (
	"context"
	"net/http"

	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// status answers with the counts of one queue or of all.
func (h *handler) status(w http.ResponseWriter, r *http.Request, _ string) {
	query := r.URL.Query()
	filter, err := h.filter(provided(query, "queue_name"), provided(query, "backend_name"))
	if err != nil {
		h.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	stats, err := h.Client.Stats(ctx, filter)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, stats)
}

// delete deletes a task that is not RUNNING.
func (h *handler) delete(w http.ResponseWriter, r *http.Request, id string) {
	taskID, err := h.bareTaskID(w, r, id)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	_, deleted, err := h.Client.Delete(ctx, taskID, "POST /tasks/delete/")
	h.write(w, r, api.DeleteAnswer(deleted, err), err)
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
	h.write(w, r, api.CancelAnswer(row, cancelled, err), err)
}
