package admin

import (
	"net/http"
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
	Task   string // address of the one task, if it was one
	Result string
}

func (h *handler) audit(v *visit) error {
	return h.auditPage(v, http.StatusOK, auditRange{})
}

func (h *handler) auditPage(v *visit, status int, bounds auditRange) error {
	var before time.Time
	if text := v.r.FormValue("before"); text != "" {
		micros, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return &pageError{http.StatusBadRequest, lang.M("No such page"), lang.M("The address is not one of this page's.")}
		}
		before = time.UnixMicro(micros).UTC()
	}
	entries, err := h.operator.AuditLog(v.r.Context(), uuid.Nil, before, auditPageSize+1)
	if err != nil {
		return err
	}
	_, exports := h.operator.(queue.AuditReader)
	page := auditPage{layout: h.layout(v, "Audit", "/audit"), Range: bounds, Exports: exports}
	if len(entries) > auditPageSize {
		entries = entries[:auditPageSize]
		page.Older = h.link("/audit", "before", strconv.FormatInt(entries[auditPageSize-1].At.UnixMicro(), 10))
	}
	if !before.IsZero() {
		page.Newest = h.link("/audit")
	}
	page.Entries = h.auditLines(entries)
	return h.render(v, status, "audit", page)
}

func (h *handler) auditLines(entries []queue.AuditEntry) []auditLine {
	lines := make([]auditLine, len(entries))
	for i, e := range entries {
		lines[i] = auditLine{AuditEntry: e, Result: count(e.Done, "task")}
		switch e.Action { // neither a session nor a queue is a task
		case actionLogout:
			lines[i].Result = "ended"
			continue
		case queue.AuditPause, queue.AuditResume:
			lines[i].Result = "done"
			continue
		}
		if strings.HasSuffix(e.Action, " schedule") { // its own actions, and not its tasks'
			lines[i].Result = "done"
			continue
		}
		if e.Task != uuid.Nil {
			lines[i].Task = h.link("/tasks/" + e.Task.String())
		}
		if e.Failed > 0 {
			lines[i].Result += ", " + num(e.Failed) + " not changed or not dispatched"
		}
		if !e.Ended {
			lines[i].Result += ", not to the end"
		}
	}
	return lines
}
