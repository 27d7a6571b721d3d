package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// databaseTimeout bounds how long one request waits for a database that hangs.
const databaseTimeout = 15 * time.Second

func (h *handler) enqueue(w http.ResponseWriter, r *http.Request, _ string) {
	body, err := readBody(w, r, h.MaxBody)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	request, backend, err := api.ParseEnqueue(body)
	if err == nil && backend != nil && !h.Client.HasBackend(*backend) {
		err = errBackend // as on the other endpoints
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	handle, err := api.Enqueue(ctx, h.Client, request)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	answer := api.EnqueueAnswer(handle)
	writeJSON(w, answer.Status, answer.Body)
}

// resultBody is an answer with one task.
type resultBody struct {
	Result *queue.Row `json:"result"`
}

func (h *handler) result(w http.ResponseWriter, r *http.Request, id string) {
	taskID, err := api.ParseID(id)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	row, err := h.Client.Get(ctx, taskID)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, resultBody{row})
}
