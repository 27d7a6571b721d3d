package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// auditPageSize is how many entries a page shows.
const auditPageSize = 50

type auditPage struct {
	layout
	Entries []auditLine
	Older   string // address of the next page; empty: there is none
	Newest  string // address of the first page; empty: this is it
	Range   auditRange
	Exports bool // the store can page all of it
}

// auditLine is an entry in words.
type auditLine struct {
	queue.AuditEntry
	Task    string // address of the one task, if it was one
	Results []string
}

func (h *handler) audit(v *visit) error {
	if name := unknownParam(v.r.URL.Query(), "after", "before"); name != "" { // "actor=ann" would otherwise show what all have done
		return &pageError{http.StatusBadRequest, lang.M("Unknown parameter"), lang.M("There is no parameter %.40q. The log cannot be filtered.", name)}
	}
	return h.auditPage(v, http.StatusOK, auditRange{})
}

func (h *handler) auditPage(v *visit, status int, bounds auditRange) error {
	_, exports := h.operator.(queue.AuditReader)
	page := auditPage{layout: h.layout(v, v.t("Audit log"), "/audit"), Range: bounds, Exports: exports}
	read := h.auditBefore
	if exports {
		read = h.auditAfter
	}
	query := v.r.URL.Query()
	entries, older, err := read(v.r.Context(), query)
	if err != nil {
		return err
	}
	if older[1] != "" {
		page.Older = h.link("/audit", older[:]...)
	}
	if query.Has("after") || query.Has("before") {
		page.Newest = h.link("/audit")
	}
	page.Entries = h.auditLines(v, entries)
	return h.render(v, status, "audit", page)
}

var errNoAuditPage = &pageError{http.StatusBadRequest, lang.M("No such page"), lang.M("This address does not belong to a page of the log.")}

// auditAfter reads a page of the log, and returns the parameter of the next one. Of entries
// of one moment none is lost and none is shown twice.
func (h *handler) auditAfter(ctx context.Context, query url.Values) (entries []queue.AuditEntry, older [2]string, err error) {
	page, err := h.Client.ReadAudit(ctx, queue.AuditRequest{After: query.Get("after"), Limit: auditPageSize})
	if errors.Is(err, queue.ErrInvalid) || query.Has("before") { // which was of an older version
		err = errNoAuditPage
	}
	return page.Entries, [2]string{"after", page.Next}, err
}

// auditBefore is auditAfter for a store that is no [queue.AuditReader]. Of entries of one
// moment some may be lost.
func (h *handler) auditBefore(ctx context.Context, query url.Values) (entries []queue.AuditEntry, older [2]string, err error) {
	var before time.Time
	if text := query.Get("before"); text != "" {
		micros, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, older, errNoAuditPage
		}
		before = time.UnixMicro(micros).UTC()
	}
	if entries, err = h.operator.AuditLog(ctx, uuid.Nil, before, auditPageSize+1); len(entries) > auditPageSize {
		entries = entries[:auditPageSize]
		older = [2]string{"before", strconv.FormatInt(entries[auditPageSize-1].At.UnixMicro(), 10)}
	}
	return entries, older, err
}

func (h *handler) auditLines(v *visit, entries []queue.AuditEntry) []auditLine {
	lines := make([]auditLine, len(entries))
	for i, e := range entries {
		lines[i] = auditLine{AuditEntry: e}
		switch { // neither a session, a queue, a limit, a group nor a schedule is a task
		case e.Action == actionLogout:
			lines[i].Results = []string{v.t("ended")}
		case e.Action == queue.AuditPause, e.Action == queue.AuditResume, e.Action == queue.AuditLimit, e.Action == actionCloseGroup, strings.HasSuffix(e.Action, " schedule"):
			lines[i].Results = []string{v.t("done")}
		default:
			if e.Task != uuid.Nil {
				lines[i].Task = h.link("/tasks/" + e.Task.String())
			}
			lines[i].Results = []string{v.t("%d tasks", e.Done)}
			if e.Failed > 0 {
				lines[i].Results = append(lines[i].Results, v.t("%d not changed or not dispatched", e.Failed))
			}
			if !e.Ended {
				lines[i].Results = append(lines[i].Results, v.t("stopped early"))
			}
		}
	}
	return lines
}
