package admin

import (
	"net/http"
)

// loginForm is the page of who has not logged in.
type loginForm struct {
	layout
	Next  string
	Wrong string
}

// session handles logging in and out, which nobody need be let in for. It
// reports whether that was what was asked.
func (h *handler) session(v *visit) (handled bool, err error) {
	access, ok := h.Access.(loginer)
	if !ok || v.path != "/login" && v.path != "/logout" {
		return false, nil
	}
	if v.r.Method != http.MethodPost {
		http.Redirect(v.w, v.r, h.link("/"), http.StatusSeeOther)
		return true, nil
	}
	if v.path == "/logout" {
		access.Logout(v.w, v.r)
		http.Redirect(v.w, v.r, h.link("/"), http.StatusSeeOther)
		return true, nil
	}
	if !access.Login(v.w, v.r, v.r.PostFormValue("token")) {
		h.Logger.Warn("login to the admin's pages refused", "remote", v.r.RemoteAddr)
		return true, h.loginPage(v, http.StatusUnauthorized, "This token is not accepted. Wait a moment after many tries.")
	}
	http.Redirect(v.w, v.r, h.back(v), http.StatusSeeOther)
	return true, nil
}

// loginPage asks for the token, and remembers what was asked for.
func (h *handler) loginPage(v *visit, status int, wrong string) error {
	page := loginForm{layout: h.layout(v, "Log in", ""), Wrong: wrong, Next: h.self(v)}
	if v.r.Method != http.MethodGet {
		page.Next = h.back(v)
	}
	page.Logout = false
	return h.render(v, status, "login", page)
}
