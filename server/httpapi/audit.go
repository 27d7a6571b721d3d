package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// auditPage is how many entries a page of the audit log has without the parameter limit.
const auditPage = 100

// audit answers with a page of the audit log.
func (h *handler) audit(w http.ResponseWriter, r *http.Request, _ string) {
	query := r.URL.Query()
	request := queue.AuditRequest{}
	var err error
	if request.Limit, request.After, err = pageOf(query, auditPage); err == nil {
		request.Since, err = queryTime(query, "since")
	}
	if err == nil {
		request.Until, err = queryTime(query, "until")
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	page, err := h.Client.ReadAudit(ctx, request)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, api.NewAuditAnswer(page))
}

// pageOf reads the parameters limit and cursor.
func pageOf(query url.Values, limit int) (_ int, cursor string, err error) {
	if cursor := provided(query, "cursor"); cursor != nil {
		if _, err := queue.ParseCursor(*cursor); err != nil {
			return 0, "", api.BadRequest("cursor must be the next of an earlier page")
		}
	}
	if text := provided(query, "limit"); text != nil {
		if limit, err = strconv.Atoi(*text); err != nil || limit < 1 || limit > 1000 {
			return 0, "", api.BadRequest("limit must be a whole number from 1 to 1000")
		}
	}
	return limit, query.Get("cursor"), nil
}

// queryTime reads a time; absent is zero.
func queryTime(query url.Values, name string) (time.Time, error) {
	text := provided(query, name)
	if text == nil {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, *text)
	if err != nil {
		return time.Time{}, api.BadRequest("%s must be a time with an offset, such as 2026-01-31T15:04:05Z", name)
	}
	return t, nil
}
