package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// visit is one request, with its user.
type visit struct {
	w      http.ResponseWriter
	r      *http.Request
	person Person
	path   string // below the prefix
	rest   string // of the path, below the route's
	now    time.Time
	p      *lang.Printer // of the reader's language
}

// route is one page or action.
type route struct {
	path   string
	method string // GET, or POST for what changes something
	below  bool   // the path has a rest
	serve  func(*handler, *visit) error
}

var routes = []route{
	{"/", http.MethodGet, false, (*handler).overview},
	{"/tasks", http.MethodGet, false, (*handler).tasks},
	{"/tasks/", http.MethodGet, true, (*handler).task},
	{"/queues", http.MethodGet, false, (*handler).queues},
	{"/queues/", http.MethodGet, true, (*handler).queue},
	{"/schedules", http.MethodGet, false, (*handler).schedules},
	{"/schedules/", http.MethodGet, true, (*handler).schedule},
	{"/schedule/put", http.MethodPost, false, (*handler).putSchedule},
	{"/schedule/act", http.MethodPost, false, (*handler).actOnSchedule},
	{"/groups", http.MethodGet, false, (*handler).groups},
	{"/groups/", http.MethodGet, true, (*handler).group},
	{"/group/act", http.MethodPost, false, (*handler).actOnGroup},
	{"/types", http.MethodGet, false, (*handler).types},
	{"/types/", http.MethodGet, true, (*handler).taskType},
	{"/workers", http.MethodGet, false, (*handler).workers},
	{"/audit", http.MethodGet, false, (*handler).audit},
	{"/audit.jsonl", http.MethodGet, false, (*handler).auditExport},
	{"/confirm", http.MethodGet, false, (*handler).confirm},
	{"/pause", http.MethodPost, false, (*handler).pauseQueue},
	{"/resume", http.MethodPost, false, (*handler).resumeQueue},
	{"/limit", http.MethodPost, false, (*handler).setLimit},
	{"/act", http.MethodPost, false, (*handler).act},
	{"/enqueue", http.MethodPost, false, (*handler).enqueue},
}

// maxForm bounds what a form may send: arguments of a task, with room for their
// encoding.
const maxForm = 4 << 20

// ServeHTTP admits a request before it looks at its path.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setHeaders(w.Header())
	h, err := h.forRequest(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	asked := h.below(r)
	if name, ok := strings.CutPrefix(asked, assetPath); ok {
		h.serveAsset(w, r, name)
		return
	}
	v := &visit{w: w, r: r, path: asked, now: h.now(), p: h.language(r)}
	if err := h.serve(v); err != nil {
		h.fail(v, err)
	}
}

// serve checks the origin and the user of a request before it reads the form and
// answers.
func (h *handler) serve(v *visit) (err error) {
	changes := v.r.Method != http.MethodGet && v.r.Method != http.MethodHead
	if changes {
		if err := h.csrf.Check(v.r); err != nil {
			return &pageError{http.StatusForbidden, lang.M("Request refused"), lang.M("It came from a page of another site. Nothing was changed.")}
		}
	} else {
		v.r.Body = http.NoBody // the address has everything
	}
	if v.path == "/language" {
		return h.setLanguage(v)
	}
	if handled, err := h.session(v); handled {
		return err
	}
	if err := h.identify(v); err != nil {
		return h.refuse(v, err)
	}
	if v.path == "" {
		http.Redirect(v.w, v.r, h.base+"/", http.StatusMovedPermanently) //nolint:gosec // the path of these pages
		return nil
	}
	if changes {
		if coding := v.r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
			return &pageError{http.StatusUnsupportedMediaType, lang.M("The form could not be read"), lang.M("Send it without compression.")}
		}
		v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
		if err := v.r.ParseForm(); err != nil {
			return unreadable(err)
		}
	}
	return h.dispatch(v)
}

// identify sets the user of a request. Until it returns nil, v has no person.
func (h *handler) identify(v *visit) error {
	person, err := h.Access.Identify(v.r)
	if err != nil {
		return err
	}
	if person.session != uuid.Nil {
		switch ended, err := h.sessions.check(v.r.Context(), person.session); {
		case err != nil:
			return &unknownSession{err}
		case ended:
			return ErrLogin
		}
	}
	v.person = person
	return nil
}

// unreadable is the refusal of a form that could not be read.
func unreadable(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return err
	}
	return &pageError{http.StatusBadRequest, lang.M("The form could not be read"), verbatim(err.Error())}
}

// dispatch finds the route of a path, with or without a trailing slash.
func (h *handler) dispatch(v *visit) error {
	trimmed := strings.TrimSuffix(v.path, "/")
	for _, route := range routes {
		rest, found := strings.CutPrefix(v.path, route.path)
		switch {
		case route.below && (!found || strings.Trim(rest, "/") == ""),
			!route.below && v.path != route.path && trimmed != route.path:
			continue
		case route.method == http.MethodGet && v.r.Method != http.MethodGet && v.r.Method != http.MethodHead,
			route.method == http.MethodPost && v.r.Method != http.MethodPost:
			v.w.Header().Set("Allow", route.method)
			return &pageError{http.StatusMethodNotAllowed, lang.M("Method not allowed"), lang.M("Use %s.", route.method)}
		case route.method == http.MethodPost && v.person.ReadOnly:
			return errReadOnly
		}
		v.rest = strings.TrimSuffix(rest, "/")
		return route.serve(h, v)
	}
	return &pageError{http.StatusNotFound, lang.M("Page not found"), lang.M("There is no page at this address.")}
}

// setHeaders allows pages to load only what this handler serves, and forbids frames.
func setHeaders(header http.Header) {
	header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	header.Set("X-Frame-Options", "DENY")
	header.Set("X-Content-Type-Options", "nosniff")
	// Not no-referrer: with it browsers say of a form's origin only "null".
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
}

// link is the address of a page, with the parameters that have a value.
func (h *handler) link(path string, pairs ...string) string {
	query := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			query.Add(pairs[i], pairs[i+1])
		}
	}
	return (&url.URL{Path: h.base + path, RawQuery: query.Encode()}).String()
}

// self is the address that was asked for.
func (h *handler) self(v *visit) string {
	return (&url.URL{Path: h.base + v.path, RawQuery: v.r.URL.RawQuery}).String()
}

// back returns the page that a form came from, if it is one of these.
func (h *handler) back(v *visit) string { return h.safe(v.r.FormValue("back")) }

// safe returns an address if it is that of one of these pages, else that of the first.
func (h *handler) safe(address string) string { return safeReturn(h.base, address) }

// pageError is a refusal or a failure as a page shows it.
type pageError struct {
	status      int
	title, text lang.Text
}

func (e *pageError) Error() string { return e.title.String() + ": " + e.text.String() }

var errReadOnly = &pageError{http.StatusForbidden, lang.M("Read-only access"), lang.M("You may view these pages, but not change anything. Nothing was changed.")}

// explain returns an error as a page shows it.
func (h *handler) explain(err error) *pageError {
	var page *pageError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &page):
		return page
	case errors.As(err, &tooLarge):
		return &pageError{http.StatusRequestEntityTooLarge, lang.M("Too large"), lang.M("The form is too large. Nothing was changed.")}
	case errors.Is(err, queue.ErrNotFound):
		return &pageError{http.StatusNotFound, lang.M("Task not found"), lang.M("No task has this ID. It may have been deleted or purged.")}
	case errors.Is(err, queue.ErrPaused):
		return &pageError{http.StatusConflict, lang.M("The queue is paused"), verbatim(capitalized(err.Error()) + ".")}
	case errors.Is(err, queue.ErrLimited):
		return &pageError{http.StatusConflict, lang.M("Limit reached"), verbatim(capitalized(err.Error()) + ".")}
	case errors.Is(err, queue.ErrUnsupported):
		return &pageError{http.StatusNotImplemented, lang.M("Not supported"), lang.M("The store of this program does not support this.")}
	case errors.Is(err, queue.ErrInvalid):
		return &pageError{http.StatusBadRequest, lang.M("Invalid request"), verbatim(err.Error())}
	case errors.Is(err, queue.ErrSchema):
		return &pageError{http.StatusServiceUnavailable, lang.M("The database schema is outdated"), sentences(lang.M("Tables are missing or outdated."), h.Remedies.Schema)}
	case errors.Is(err, queue.ErrLocked):
		return &pageError{http.StatusConflict, lang.M("The task is locked"), lang.M("Another transaction has locked it. Nothing was changed: retry when that has ended.")}
	case errors.Is(err, queue.ErrContended):
		return &pageError{http.StatusServiceUnavailable, lang.M("The database is busy"), lang.M("It cancelled the statement because of other transactions or a time limit. Nothing was changed: retry in a moment.")}
	case errors.Is(err, queue.ErrPoolExhausted):
		return &pageError{http.StatusServiceUnavailable, lang.M("No free database connection"), sentences(lang.M("All connections of this process are in use. Retry in a moment."), h.Remedies.Connections)}
	case errors.Is(err, queue.ErrTooLarge):
		return &pageError{http.StatusRequestEntityTooLarge, lang.M("Too large"), lang.M("The database does not accept a task of this size. Nothing was changed.")}
	case errors.Is(err, queue.ErrNoAnswer):
		return &pageError{http.StatusServiceUnavailable, lang.M("The database did not answer in time"), lang.M("It is unknown whether anything was changed. Retry in a moment.")}
	case errors.Is(err, queue.ErrUnavailable), errors.Is(err, queue.ErrClosed):
		return &pageError{http.StatusServiceUnavailable, lang.M("The database is unavailable"), lang.M("The log of this program has the cause. Retry in a moment.")}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &pageError{http.StatusServiceUnavailable, lang.M("Timed out"), lang.M("The database did not finish in time. Retry in a moment.")}
	}
	return &pageError{http.StatusInternalServerError, lang.M("Internal error"), lang.M("The log of this program has the cause.")}
}

// sentences appends a remedy of the program to a message, if there is one.
func sentences(first lang.Text, remedy string) lang.Text {
	if remedy == "" {
		return first
	}
	return lang.Join(first, lang.Provided(remedy))
}

// redirect sends the browser to another page, or to a login of the program's own.
func (v *visit) redirect(address string) {
	http.Redirect(v.w, v.r, address, http.StatusSeeOther) //nolint:gosec // made or checked by the handler
}
