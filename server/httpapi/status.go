package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
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
	h.write(w, r, CancelAnswer(row, cancelled, err), err)
}

// CancelAnswer returns the answer of cancel to the results of [queue.Client.Cancel].
func CancelAnswer(row *queue.Row, cancelled bool, err error) Answer {
	body := cancelBody{Cancelled: cancelled, Result: row}
	switch {
	case errors.Is(err, queue.ErrLocked):
		body.Error = queue.ErrLocked.Error() + ": nothing was changed, retry when that has ended"
		return Answer{http.StatusConflict, body, time.Second}
	case err != nil:
		return ErrorAnswer(err)
	case !cancelled:
		return Answer{Status: http.StatusConflict, Body: body}
	default:
		return Answer{Status: http.StatusOK, Body: body}
	}
}

// cancelBody is the answer of cancel.
type cancelBody struct {
	Cancelled bool       `json:"cancelled"`
	Error     string     `json:"error,omitempty"`
	Result    *queue.Row `json:"result"`
}
