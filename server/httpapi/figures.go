package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// figures answers with how tasks have ended in a period.
func (h *handler) figures(w http.ResponseWriter, r *http.Request, _ string) {
	query := r.URL.Query()
	since, err := queryTime(query, "since")
	var until time.Time
	if err == nil {
		until, err = queryTime(query, "until")
	}
	from, to, ok := api.FiguresPeriod(since, until, time.Now())
	if err == nil && !ok {
		err = api.BadRequest("since " + api.FiguresAccepted)
	}
	request := queue.FiguresRequest{Since: from, Until: to, Task: query.Get("task"), Queue: query.Get("queue_name"), Backend: query.Get("backend_name")}
	if err == nil && request.Backend != "" && !h.Client.HasBackend(request.Backend) {
		err = errBackend
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	figures, err := h.Client.Figures(ctx, request)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, api.NewFiguresAnswer(figures, from, to))
}
