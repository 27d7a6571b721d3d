package httpapi

import (
	"net/http"

	"github.com/claimcheck-go/claimcheck/queue"
)

// sweep does one pass of the sweeper for a scheduler, by POST, or by GET for App
// Engine's cron.
func (h *handler) sweep(w http.ResponseWriter, r *http.Request, _ string) {
	limit := count{value: queue.DefaultSweepLimit, least: 1}
	var err error
	if r.Method == http.MethodPost {
		var body []byte
		if body, err = readBody(w, r, h.MaxBody); err == nil {
			err = decodeObject(body, map[string]any{"limit": &limit})
		}
	} else {
		err = limit.fromQuery(r.URL.Query(), "limit")
	}
	if err == nil && limit.value > MaxBatch {
		err = badRequest("limit cannot exceed %d", MaxBatch)
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	ctx, cancel := h.within(r.Context(), h.RequestTimeout*3/4)
	defer cancel()
	swept, err := h.Client.Sweep(ctx, limit.value)
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
