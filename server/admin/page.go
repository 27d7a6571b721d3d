package admin

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// layout is what every page has.
type layout struct {
	words
	Title   string
	Lang    string // BCP 47
	Script  string // the messages of the script, as JSON
	Brand   Brand
	Nav     string // the current entry of the navigation
	Self    string // the page's address
	Wanted  string // that, or of the page whose form was sent
	Person  Person
	Logout  bool
	Notice  *notice
	Every   int    // seconds between reloads; 0: never
	Again   bool   // reload at once, since not all is counted yet
	Forward string // address to continue at without a click; empty: none
	Mode    string
	Version string
}

// Interval is the time between reloads.
func (l layout) Interval() string { return l.p.Span(time.Duration(l.Every) * time.Second) }

// CanAct reports whether the person may change anything.
func (l layout) CanAct() bool { return l.Person.Name != "" && !l.Person.ReadOnly }

// layout returns that of one page, with the notice that was left for it.
func (h *handler) layout(v *visit, title, nav string) layout {
	_, canLogout := withLogin(h.Access)
	return layout{
		words: words{now: v.now, p: v.p}, Title: title, Lang: v.p.Tag(), Script: scriptWords(v.p), Brand: h.brand(), Nav: nav, Self: h.self(v), Wanted: h.wanted(v), Person: v.person,
		Logout: canLogout, Notice: h.takeNotice(v), Mode: h.Mode, Version: h.Version,
	}
}

// brand returns what the header shows, and where it leads.
func (h *handler) brand() Brand {
	return Brand{Name: cmp.Or(strings.TrimSpace(h.Brand.Name), "claimcheck"), URL: cmp.Or(h.Brand.URL, h.link("/"))}
}

// render sends a page. It is made in memory first, so that an error in the
// middle of it is an error page and not half a page.
func (h *handler) render(v *visit, status int, name string, data any) error {
	page, err := h.templates.render(name, h, v.p, data)
	if err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.Header().Set("Content-Language", v.p.Tag())
	v.w.Header().Add("Vary", "Accept-Language, Cookie")
	h.send(v, status, visible(page))
	return nil
}

// worthGzip is the size from which a page is sent compressed.
const worthGzip = 1024

func (h *handler) send(v *visit, status int, body []byte) {
	v.w.Header().Add("Vary", "Accept-Encoding")
	// Not without a login: packing takes a megabyte, and those pages are small.
	if v.person.Name != "" && len(body) >= worthGzip && acceptsGzip(v.r) {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write(body) // to memory
		_ = z.Close()
		body = packed.Bytes()
		v.w.Header().Set("Content-Encoding", "gzip")
	}
	v.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	v.w.WriteHeader(status)
	if v.r.Method != http.MethodHead {
		_, _ = v.w.Write(body) //nolint:gosec // rendered by html/template; the browser may have gone
	}
}

// acceptsGzip reports whether the browser says that it can read gzip.
func acceptsGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, quality, _ := strings.Cut(strings.ReplaceAll(coding, " ", ""), ";q=")
		if name == "gzip" {
			q, err := strconv.ParseFloat(quality, 64)
			return quality == "" || err == nil && q > 0
		}
	}
	return false
}

// errorPage is what the template error shows.
type errorPage struct {
	layout
	Text string
}

// fail shows an error. Internal details go to the log.
func (h *handler) fail(v *visit, err error) {
	shown := h.explain(err)
	if shown.status == http.StatusInternalServerError {
		h.Logger.Error("admin page failed", append([]any{"method", v.r.Method, "path", v.path}, api.ErrorAttrs(err)...)...)
	}
	page := errorPage{h.layout(v, v.p.Text(shown.title), ""), v.p.Text(shown.text)}
	if shown.status == http.StatusServiceUnavailable {
		v.w.Header().Set("Retry-After", strconv.Itoa(int(unavailableRetry.Seconds())))
	}
	if err := h.render(v, shown.status, "error", page); err != nil {
		h.Logger.Error("admin page failed", "method", v.r.Method, "path", v.path, "error", err)
		http.Error(v.w, "internal error", http.StatusInternalServerError)
	}
}

// unavailableRetry is the Retry-After while the database is unavailable.
const unavailableRetry = 5 * time.Second

// refuse answers a request that Access has refused.
func (h *handler) refuse(v *visit, err error) error {
	var unknown *unknownSession
	if errors.As(err, &unknown) {
		return unknown.error
	}
	if handled, failed := h.ownLogin(v, err); handled {
		return failed
	}
	if _, ok := withLogin(h.Access); ok && errors.Is(err, ErrLogin) {
		return h.loginPage(v, http.StatusUnauthorized, lang.Text{}, h.wanted(v))
	}
	status, title := http.StatusForbidden, lang.M("Access denied")
	var coded interface{ HTTPStatus() int }
	if errors.As(err, &coded) {
		status = coded.HTTPStatus()
	} else if errors.Is(err, ErrLogin) {
		status = http.StatusUnauthorized
	}
	return &pageError{status, title, verbatim(err.Error())}
}
