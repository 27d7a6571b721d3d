package admin

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// returnParam is the query parameter in which a login gets the page to return to.
const returnParam = "return_to"

// returnPlaceholder stands for the page to return to in the URL of a login.
const returnPlaceholder = "{return_to}"

// Redirect returns an error for [Access]: the user must log in at login, a page of the
// program's own, such as /login or https://sso.example.com/start. The login gets the
// page that was asked for, a path with its query and never a host, in the query
// parameter return_to, or where its own query has {return_to}, as in
// /oauth2/start?rd={return_to}. It must not redirect to what it receives unchecked,
// since anyone can link to a login: [ReturnTo] checks it.
//
// A browser that opens a page is redirected (303). A form that was sent is answered with
// a page that links to the login (401), and a page that refreshes itself says that the
// session has ended, with the same link.
func Redirect(login string) error { return &redirect{login} }

type redirect struct{ login string }

func (r *redirect) Error() string        { return ErrLogin.Error() }
func (r *redirect) Is(target error) bool { return target == ErrLogin }

// address is the URL of the login, which returns to a page. asked is the path of the
// request, which cannot be the login.
func (r *redirect) address(asked, back string) (string, error) {
	u, err := url.Parse(r.login)
	switch {
	case err != nil, strings.ContainsAny(r.login, "\\\r\n\t"):
		return "", fmt.Errorf("admin: Redirect: %.200q is not a URL", r.login)
	case u.Scheme == "" && (u.Host != "" || !strings.HasPrefix(u.Path, "/")),
		u.Scheme != "" && (u.Scheme != "https" && u.Scheme != "http" || u.Host == ""):
		return "", fmt.Errorf("admin: Redirect: %.200q must be an http or https URL, or a path that begins with /", r.login)
	case u.Host == "" && u.Path == asked:
		return "", fmt.Errorf("admin: Redirect: %.200q is a path of these pages: give it to another handler", r.login)
	}
	if strings.Contains(u.RawQuery, returnPlaceholder) {
		u.RawQuery = strings.ReplaceAll(u.RawQuery, returnPlaceholder, url.QueryEscape(back))
		return u.String(), nil
	}
	query := returnParam + "=" + url.QueryEscape(back)
	if u.RawQuery != "" {
		query = u.RawQuery + "&" + query
	}
	u.RawQuery = query
	return u.String(), nil
}

// ReturnTo returns where a login sends its user, for the handler of a login that
// [Redirect] leads to: the page in the request's query parameter return_to if it is one
// below prefix, the path of the pages in the browser's address, else the first one there.
// So no link to the login can lead elsewhere.
func ReturnTo(r *http.Request, prefix string) string {
	return safeReturn(strings.TrimRight(prefix, "/"), r.URL.Query().Get(returnParam))
}

// safeReturn returns an address if it is that of a page below a prefix, else that of the
// first one there. A browser resolves .. and %2e before a request, so they could leave
// the prefix.
func safeReturn(prefix, address string) string {
	u, err := url.Parse(address)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || strings.ContainsAny(address, "\\\r\n\t") ||
		!strings.HasPrefix(u.Path, prefix+"/") || strings.ContainsAny(u.Path, "\\\r\n\t") ||
		path.Clean(u.Path) != strings.TrimSuffix(u.Path, "/") && u.Path != "/" {
		return (&url.URL{Path: prefix + "/"}).String()
	}
	return u.String()
}

// Challenge returns an error for [Access]: the request has no valid credential, and the
// answer (401) has these WWW-Authenticate headers, such as `Basic realm="tasks"`. The
// answer to a page that refreshes itself has none for Basic and Digest, which would open
// the browser's password dialog over a page that someone is reading.
func Challenge(values ...string) error { return &challenge{values} }

type challenge struct{ values []string }

func (c *challenge) Error() string        { return ErrLogin.Error() }
func (c *challenge) Is(target error) bool { return target == ErrLogin }

// asksByDialog reports whether browsers answer a challenge with a dialog.
func asksByDialog(value string) bool {
	scheme, _, _ := strings.Cut(strings.TrimSpace(value), " ")
	return slices.ContainsFunc([]string{"basic", "digest"}, func(s string) bool { return strings.EqualFold(s, scheme) })
}

// ownLoginPage says that a login is needed, and leads to it.
type ownLoginPage struct {
	layout
	Changes bool   // the request would have changed something
	Login   string // address; empty: the browser asks by itself
}

// ownLogin answers a request that a program's own Access has refused with a redirect or a
// challenge. handled is false for any other error.
func (h *handler) ownLogin(v *visit, refusal error) (handled bool, err error) {
	page := ownLoginPage{layout: h.layout(v, v.t("Log in first"), ""), Changes: v.r.Method != http.MethodGet && v.r.Method != http.MethodHead}
	page.Logout = false
	if c, ok := errors.AsType[*challenge](refusal); ok {
		for _, value := range c.values {
			if !v.refreshes() || !asksByDialog(value) {
				v.w.Header().Add("WWW-Authenticate", value)
			}
		}
		return true, h.render(v, http.StatusUnauthorized, "ownlogin", page)
	}
	to, ok := errors.AsType[*redirect](refusal)
	if !ok {
		return false, nil
	}
	back := h.wanted(v)
	if len(back) > maxNext {
		back = h.link("/")
	}
	if page.Login, err = to.address(h.base+v.path, h.safe(back)); err != nil {
		return true, err
	}
	switch {
	case !page.Changes && !v.refreshes() && !h.fromPages(v):
		v.redirect(page.Login)
		return true, nil
	case !page.Changes && !v.refreshes():
		page.Forward = page.Login
	}
	return true, h.render(v, http.StatusUnauthorized, "ownlogin", page)
}

// refreshes reports whether a page asks for itself again, and not a browser that opens a page.
func (v *visit) refreshes() bool {
	return v.r.Header.Get("HX-Request") == "true" || v.r.Header.Get("Sec-Fetch-Dest") == "empty"
}

// fromPages reports whether one of these pages leads to a request, perhaps by a form. The
// policy of the pages lets their forms lead nowhere else, and Chromium applies that to
// redirects too: the login could not be opened by one.
func (h *handler) fromPages(v *visit) bool {
	u, err := url.Parse(v.r.Referer())
	return err == nil && u.Host == v.r.Host && strings.HasPrefix(u.Path, h.base+"/")
}
