package admin

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/timearg"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// exportPage is how many entries an export has in memory.
const exportPage = 500

// auditRange is the form that bounds an export.
type auditRange struct {
	Since, Until string            // as they were written
	Wrong        map[string]string // what is wrong, by field
}

// readRange reads the bounds of an export.
func readRange(query url.Values, w words) (written auditRange, r queue.AuditRequest) {
	written = auditRange{Since: query.Get("since"), Until: query.Get("until"), Wrong: make(map[string]string)}
	for name, field := range map[string]struct {
		text string
		into *time.Time
	}{"since": {written.Since, &r.Since}, "until": {written.Until, &r.Until}} {
		if len(query[name]) > 1 {
			written.Wrong[name] = w.p.Text(givenTwice(name))
			continue
		}
		if field.text == "" {
			continue
		}
		at, ok := timearg.Past(field.text, w.now)
		if !ok {
			written.Wrong[name] = w.p.Text(wrongTime)
		}
		*field.into = at
	}
	return written, r
}

// unknownParam returns a parameter that a page does not have; empty: there is none.
func unknownParam(query url.Values, known ...string) string {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(known, name) && !byProxy(name) {
			return name
		}
	}
	return ""
}

// auditExport sends the audit log as JSON lines, the latest entries first, a page of them
// at a time.
func (h *handler) auditExport(v *visit) error {
	query := v.r.URL.Query()
	if name := unknownParam(query, "since", "until"); name != "" { // "sinze=1h" would otherwise export everything
		return &pageError{http.StatusBadRequest, lang.M("Unknown parameter"), lang.M("There is no parameter %.40q. An export has since and until.", name)}
	}
	written, request := readRange(query, v.words())
	if len(written.Wrong) > 0 {
		return h.auditPage(v, http.StatusBadRequest, written)
	}
	request.Limit = exportPage
	page, err := h.Client.ReadAudit(v.r.Context(), request)
	if err != nil {
		return err
	}
	header := v.w.Header()
	header.Set("Content-Type", "application/jsonl; charset=utf-8")
	header.Set("Content-Disposition", `attachment; filename="audit-`+v.now.UTC().Format("2006-01-02T150405Z")+`.jsonl"`)
	if v.r.Method == http.MethodHead {
		return nil
	}
	for lines := json.NewEncoder(v.w); ; {
		for _, e := range page.Entries {
			if lines.Encode(api.NewAuditBody(e)) != nil { // the browser has gone
				panic(http.ErrAbortHandler)
			}
		}
		if request.After = page.Next; request.After == "" {
			return nil
		}
		if page, err = h.Client.ReadAudit(v.r.Context(), request); err != nil {
			h.Logger.Error("an export of the audit log ended before its end", "actor", v.person.Name, "error", err)
			panic(http.ErrAbortHandler) // so that what was sent does not look complete
		}
	}
}
