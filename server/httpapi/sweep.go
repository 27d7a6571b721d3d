package httpapi

import (
	"net/http"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// sweep does one pass of the sweeper for a scheduler, by POST, or by GET for App
// Engine's cron.
func (h *handler) sweep(w http.ResponseWriter, r *http.Request, _ string) {
	limit := api.Count{Value: queue.DefaultSweepLimit, Least: 1}
	var err error
	if r.Method == http.MethodPost {
		var body []byte
		if body, err = readBody(w, r, h.MaxBody); err == nil {
			err = api.DecodeObject(body, map[string]any{"limit": &limit})
		}
	} else {
		err = limit.Set("limit", provided(r.URL.Query(), "limit"))
	}
	if err == nil && limit.Value > api.MaxBatch {
		err = api.BadRequest("limit cannot exceed %d", api.MaxBatch)
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	ctx, cancel := h.within(r.Context(), h.RequestTimeout*3/4)
	defer cancel()
	swept, err := h.Client.Sweep(ctx, limit.Value)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	status := http.StatusOK
	if swept.NothingWorked() {
		status = http.StatusInternalServerError
	}
	writeJSON(w, status, swept)
}
