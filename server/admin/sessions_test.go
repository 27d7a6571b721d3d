package admin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

// A cookie that was copied is of no use after the logout: not here, not on
// another instance, and not after a restart.
func TestLogoutEndsTheSession(t *testing.T) {
	s := newSite(t, func(c *admin.Config, _ *queue.Config) {
		c.Access = admin.FirstOf(admin.Closed("no proxy"), admin.Tokens("right-token-of-admins", ""))
	})
	begin := func() []string {
		w := s.post("/admin/login", url.Values{"token": {"right-token-of-admins"}})
		if len(w.Result().Cookies()) != 1 {
			t.Fatalf("login: %d", w.Code)
		}
		cookie := w.Result().Cookies()[0]
		return []string{"Cookie", cookie.Name + "=" + cookie.Value}
	}
	first, second := begin(), begin()
	for _, session := range [][]string{first, second} {
		if w := s.get("/admin/", session...); w.Code != http.StatusOK {
			t.Fatalf("before the logout: %d", w.Code)
		}
	}
	for range 2 { // a second logout is nothing new
		if w := s.post("/admin/logout", nil, first...); w.Code != http.StatusSeeOther || w.Result().Cookies()[0].MaxAge >= 0 {
			t.Fatalf("logout: %d, %v", w.Code, w.Result().Cookies())
		}
	}
	for name, site := range map[string]*site{"here": s, "on another instance": s.anew()} {
		for _, path := range everyPage {
			if w := site.get(path, first...); w.Code != http.StatusUnauthorized {
				t.Errorf("%s, %s: %d", name, path, w.Code)
			}
		}
		if w := site.post("/admin/act", url.Values{"do": {"run"}, "pick": {"x"}}, first...); w.Code != http.StatusUnauthorized {
			t.Errorf("%s, act: %d", name, w.Code)
		}
		if w := site.get("/admin/", second...); w.Code != http.StatusOK {
			t.Errorf("%s, the other session: %d", name, w.Code)
		}
	}
	page := s.get("/admin/audit", second...).Body.String()
	if strings.Count(page, "<b>logout</b>") != 1 || strings.Contains(page, `<a href="/admin/tasks/`) {
		t.Errorf("the audit log:\n%s", page)
	}
	// Whether a session was ended is not known while the database is away.
	again := s.anew()
	s.store.fail(queue.ErrUnavailable)
	if w := again.get("/admin/types", second...); w.Code != http.StatusServiceUnavailable {
		t.Errorf("without a database: %d", w.Code)
	}
	if w := s.post("/admin/logout", nil, second...); w.Code != http.StatusSeeOther {
		t.Errorf("logout without a database: %d", w.Code)
	}
	s.store.fail(nil)
	if w := s.get("/admin/", second...); w.Code != http.StatusUnauthorized {
		t.Errorf("after a logout without a database: %d", w.Code)
	}
}

// A logout without a session ends no session.
func TestLogoutNeedsTheSession(t *testing.T) {
	s := newSite(t, func(c *admin.Config, _ *queue.Config) { c.Access = admin.Tokens("right-token-of-admins", "") })
	cookie := s.post("/admin/login", url.Values{"token": {"right-token-of-admins"}}).Result().Cookies()[0]
	parts := strings.Split(cookie.Value, ".")
	parts[3] = "AAAA"
	s.post("/admin/logout", nil, "Cookie", cookie.Name+"="+strings.Join(parts, "."))
	if w := s.get("/admin/", "Cookie", cookie.Name+"="+cookie.Value); w.Code != http.StatusOK {
		t.Errorf("%d", w.Code)
	}
}
