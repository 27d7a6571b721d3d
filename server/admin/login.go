package admin

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// loginForm is the login page.
type loginForm struct {
	layout
	Next  string
	Wrong lang.Text
	Where string // where the token is found
}

// Limits of what is read from users who have not logged in.
const (
	maxLogin = 4 << 10
	maxNext  = 1000 // an address to return to; three times as long in a form, in which a token must fit too
)

// session handles logging in and out, which needs no session. It reports whether
// that was what was asked.
func (h *handler) session(v *visit) (handled bool, err error) {
	access, ok := withLogin(h.Access)
	if !ok || v.path != "/login" && v.path != "/logout" {
		return false, nil
	}
	if v.r.Method != http.MethodPost {
		v.redirect(h.link("/"))
		return true, nil
	}
	if v.path == "/logout" {
		h.endSession(v, access)
		access.logout(v.w, v.r, h.cookiePath())
		v.redirect(h.link("/"))
		return true, nil
	}
	form, err := readForm(v, maxLogin)
	if err != nil {
		return true, err
	}
	back := h.safe(form.Get("back"))
	err = access.login(v.w, v.r, h.cookiePath(), form.Get("token"))
	var wrong *wrongToken
	switch {
	case err == nil:
		v.redirect(back)
		return true, nil
	case !errors.As(err, &wrong):
		return true, err
	}
	if wrong.counted {
		h.Logger.Warn("login to the admin pages refused", "remote", v.r.RemoteAddr, "reason", wrong.text.String())
	}
	if wrong.wait > 0 {
		v.w.Header().Set("Retry-After", strconv.Itoa(int(wrong.wait/time.Second)))
	}
	return true, h.loginPage(v, wrong.status, wrong.text, back)
}

// readForm reads a form of a user who may not have logged in, and no more than such a form
// can have.
func readForm(v *visit, most int64) (url.Values, error) {
	if mediaType, _, _ := strings.Cut(v.r.Header.Get("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(mediaType), "application/x-www-form-urlencoded") {
		return nil, &pageError{http.StatusUnsupportedMediaType, lang.M("The form could not be read"), lang.M("Send it as application/x-www-form-urlencoded.")}
	}
	if v.r.ContentLength > most {
		return nil, &http.MaxBytesError{Limit: most}
	}
	body, err := io.ReadAll(http.MaxBytesReader(v.w, v.r.Body, most))
	if err != nil {
		return nil, unreadable(err)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, unreadable(err)
	}
	return form, nil
}

// loginPage asks for the token, and then returns to next.
func (h *handler) loginPage(v *visit, status int, wrong lang.Text, next string) error {
	page := loginForm{layout: h.layout(v, v.t("Log in"), ""), Wrong: wrong, Next: next, Where: h.Remedies.Login}
	if len(page.Next) > maxNext {
		page.Next = h.link("/")
	}
	page.Logout = false
	return h.render(v, status, "login", page)
}

// wanted is the page to return to after the login: what was asked for, or, since
// a form cannot be sent again, the page that has it.
func (h *handler) wanted(v *visit) string {
	if v.r.Method == http.MethodGet || v.r.Method == http.MethodHead {
		return h.self(v)
	}
	if u, err := url.Parse(v.r.Referer()); err == nil && u.Host == v.r.Host {
		return h.safe(u.RequestURI())
	}
	return h.link("/")
}
