package httpapi

import (
	"fmt"
	"net/http"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// tick enqueues what is due of the schedules, by POST, or by GET for App Engine's cron.
func (h *handler) tick(w http.ResponseWriter, r *http.Request, _ string) {
	ahead, err := h.ahead(w, r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	ctx, cancel := h.within(r.Context(), h.RequestTimeout*3/4)
	defer cancel()
	ticked, err := h.Client.Tick(ctx, ahead)
	if err != nil && ticked.Enqueued == 0 {
		h.fail(w, r, err)
		return
	}
	if ticked.Failed > 0 { // so that the scheduler's job shows it
		writeError(w, http.StatusInternalServerError,
			fmt.Sprintf("schedules that are due and could not be enqueued: %d; the log says why; occurrences of others that were: %d", ticked.Failed, ticked.Enqueued))
		return
	}
	writeJSON(w, http.StatusOK, ticked)
}

// ahead reads how far ahead of their time occurrences are enqueued.
func (h *handler) ahead(w http.ResponseWriter, r *http.Request) (time.Duration, error) {
	text := provided(r.URL.Query(), "ahead")
	if r.Method == http.MethodPost {
		var inBody *string
		body, err := readBody(w, r, h.MaxBody)
		if err == nil {
			err = api.DecodeObject(body, map[string]any{"ahead": &inBody})
		}
		if err != nil {
			return 0, err
		}
		if text != nil && inBody != nil {
			return 0, api.BadRequest("ahead is given in the query and in the body; give it once")
		}
		if text == nil {
			text = inBody
		}
	}
	if text == nil {
		return 0, nil
	}
	ahead, err := time.ParseDuration(*text)
	if *text == "0" {
		ahead, err = 0, nil
	}
	if err != nil || ahead < 0 || ahead > queue.MaxTickAhead {
		return 0, api.BadRequest("ahead must be a duration from 0s to %s, such as 60s", queue.MaxTickAhead)
	}
	return ahead, nil
}
