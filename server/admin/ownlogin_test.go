package admin_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

// closedBy is an Access that refuses every request with one error.
type closedBy struct{ err error }

func (r closedBy) Identify(*http.Request) (admin.Person, error) { return admin.Person{}, r.err }

// sentTo returns the page that a redirect to a login carries.
func sentTo(t *testing.T, location, param string) string {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get(param)
}

func TestRedirectToTheProgramsOwnLogin(t *testing.T) {
	for login, want := range map[string]struct{ begins, param string }{
		"/login":                         {"/login?return_to=", "return_to"},
		"/login?lang=de":                 {"/login?lang=de&return_to=", "return_to"},
		"https://sso.example.com/start":  {"https://sso.example.com/start?return_to=", "return_to"},
		"/oauth2/start?rd={return_to}":   {"/oauth2/start?rd=", "rd"},
		"/o?rd=https://a.com{return_to}": {"/o?rd=https://a.com%2F", "rd"},
	} {
		s := newSite(t, func(c *admin.Config, _ *queue.Config) { c.Access = closedBy{admin.Redirect(login)} })
		w := s.get("/admin/tasks?view=failed&task=a%26b")
		location := w.Header().Get("Location")
		if back := strings.TrimPrefix(sentTo(t, location, want.param), "https://a.com"); w.Code != http.StatusSeeOther || !strings.HasPrefix(location, want.begins) || back != "/admin/tasks?view=failed&task=a%26b" {
			t.Errorf("%s: %d to %q, back to %q", login, w.Code, location, back)
		}
	}
}

func TestBadLoginsAreErrors(t *testing.T) {
	for _, login := range []string{"", "login", "//evil.example/", "javascript:alert(1)", "https://", `/\evil.example`, "http://[::1", "/admin/"} {
		s := newSite(t, func(c *admin.Config, _ *queue.Config) { c.Access = closedBy{admin.Redirect(login)} })
		if w := s.get("/admin/"); w.Code != http.StatusInternalServerError || w.Header().Get("Location") != "" {
			t.Errorf("%q: %d to %q", login, w.Code, w.Header().Get("Location"))
		}
	}
}

// Whatever is asked for, a login gets a path below the prefix to return to.
func TestALoginReturnsOnlyToThesePages(t *testing.T) {
	for prefix, paths := range map[string][]string{
		"/":      {"//evil.example/x", "//evil.example", "/%2f/evil.example/x", "/%5cevil.example", "/.//evil.example", "/x/..//evil.example/", "/?x=//evil"},
		"/admin": {"/admin//evil.example", "/admin/../x", "/admin/%2e%2e/x", "//evil.example/admin/", `/admin/%5cevil`},
	} {
		s := newSite(t, func(c *admin.Config, _ *queue.Config) {
			c.Prefix, c.Access = prefix, closedBy{admin.Redirect("/login")}
		})
		for _, path := range paths {
			r := httptest.NewRequest(http.MethodGet, "http://tasks.example/", nil)
			u, err := url.Parse("http://tasks.example" + path)
			if err != nil {
				t.Fatal(err)
			}
			r.URL = u
			back := sentTo(t, s.do(r).Header().Get("Location"), "return_to")
			if !strings.HasPrefix(back, strings.TrimRight(prefix, "/")+"/") || strings.HasPrefix(back, "//") || strings.ContainsAny(back, `\`) || strings.Contains(back, "..") {
				t.Errorf("%s below %s: back to %q", path, prefix, back)
			}
		}
	}
	for back, want := range map[string]string{
		"/ops/tasks/queues?x=1": "/ops/tasks/queues?x=1", "/ops/tasks/": "/ops/tasks/", "": "/ops/tasks/",
		"//evil.example/ops/tasks/": "/ops/tasks/", "https://evil.example/ops/tasks/": "/ops/tasks/", "/ops/tasksx/": "/ops/tasks/", "/ops/tasks/../x": "/ops/tasks/", `/ops/tasks/\evil`: "/ops/tasks/",
	} {
		r := httptest.NewRequest(http.MethodGet, "/login?return_to="+url.QueryEscape(back), nil)
		if got := admin.ReturnTo(r, "/ops/tasks"); got != want {
			t.Errorf("ReturnTo of %q: %q, want %q", back, got, want)
		}
	}
}

// A redirect would swallow a form, and a refresh could not follow it.
func TestFormsAndRefreshesAreNotRedirected(t *testing.T) {
	s := newSite(t, func(c *admin.Config, _ *queue.Config) {
		c.Access = closedBy{admin.Redirect("https://sso.example.com/")}
	})
	const link, forward = `href="https://sso.example.com/?return_to=%2Fadmin%2Fqueues"`, `http-equiv="refresh" content="0; url=`
	w := s.post("/admin/pause", url.Values{"queue": {"default"}}, "Referer", "http://tasks.example/admin/queues")
	if body := w.Body.String(); w.Code != http.StatusUnauthorized || !strings.Contains(body, link) || !strings.Contains(body, "Nothing was done") || strings.Contains(body, forward) {
		t.Errorf("a form: %d\n%s", w.Code, body)
	}
	for _, header := range [][]string{{"HX-Request", "true"}, {"Sec-Fetch-Dest", "empty"}} {
		w := s.get("/admin/queues", header...)
		if body := w.Body.String(); w.Code != http.StatusUnauthorized || !strings.Contains(body, link) || strings.Contains(body, forward) {
			t.Errorf("%v: %d\n%s", header, w.Code, body)
		}
	}
	w = s.get("/admin/queues", "Referer", "http://tasks.example/admin/tasks")
	if body := w.Body.String(); w.Code != http.StatusUnauthorized || !strings.Contains(body, forward) {
		t.Errorf("from another page: %d\n%s", w.Code, body)
	}
}

func TestChallenges(t *testing.T) {
	s := newSite(t, func(c *admin.Config, _ *queue.Config) {
		c.Access = closedBy{admin.Challenge(`Basic realm="tasks", charset="UTF-8"`, "Negotiate")}
	})
	if w := s.get("/admin/"); w.Code != http.StatusUnauthorized || len(w.Header().Values("WWW-Authenticate")) != 2 {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	// No dialog opens over a page that someone is reading.
	w := s.get("/admin/", "HX-Request", "true")
	if got := w.Header().Values("WWW-Authenticate"); w.Code != http.StatusUnauthorized || len(got) != 1 || got[0] != "Negotiate" {
		t.Errorf("a refresh: %d %v", w.Code, got)
	}
}

// The session of a program's own login ends while a page is shown: by the program, or by
// a proxy that redirects.
func testOwnLoginInTheBrowser(t *testing.T, browser context.Context) {
	arrived := atomic.Value{}
	arrived.Store("")
	sso := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/start" {
			arrived.Store(r.URL.Query().Get("return_to"))
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<!doctype html><html lang="en"><title>SSO</title><link rel="icon" href="data:,"><h1>Single sign-on</h1>`))
	}))
	t.Cleanup(sso.Close)
	door := &ssoAccess{login: sso.URL + "/start"}
	s := newNight(t, func(c *admin.Config, _ *queue.Config) { c.Access = door })
	pages, proxy := s.handler, atomic.Bool{}
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if proxy.Load() {
			http.Redirect(w, r, sso.URL+"/start", http.StatusFound)
			return
		}
		pages.ServeHTTP(w, r)
	})
	b := newTab(t, browser, s)
	b.open("/admin/tasks?view=failed")
	for name, ends := range map[string]*atomic.Bool{"the program": &door.closed, "a proxy": &proxy} {
		ends.Store(true)
		eval[chromedp.Void](b, `document.getElementById("live").dataset.every = 0.01; 0`)
		b.until(`document.getElementById("away").checkVisibility()`)
		if said := b.text("#away"); !strings.HasPrefix(said, "Your session has ended. Shown as of ") || !strings.Contains(said, "Log in again") {
			t.Errorf("%s: %q", name, said)
		}
		ends.Store(false)
		b.until(`document.getElementById("away").hidden`)
	}
	// A form of the page reaches the login although the policy binds forms to this site.
	door.closed.Store(true)
	eval[chromedp.Void](b, `document.querySelector(".filters").requestSubmit(); 0`)
	b.until(`document.title === "SSO"`)
	if back := arrived.Load().(string); !strings.HasPrefix(back, "/admin/tasks?") {
		t.Errorf("back to %q", back)
	}
	b.open("/admin/queues")
	if back := arrived.Load().(string); back != "/admin/queues" {
		t.Errorf("opened: back to %q", back)
	}
	b.ignore("Failed to load resource")
	b.ignore(sso.URL) // a picture that the proxy redirects there, if the browser asks for one meanwhile
}

// ssoAccess is a login of the program's own whose session ends.
type ssoAccess struct {
	login  string
	closed atomic.Bool
}

func (a *ssoAccess) Identify(*http.Request) (admin.Person, error) {
	if a.closed.Load() {
		return admin.Person{}, admin.Redirect(a.login)
	}
	return admin.Person{Name: "ann"}, nil
}

// withLogout admits a user who logs out elsewhere.
type withLogout string

func (l withLogout) Identify(*http.Request) (admin.Person, error) {
	return admin.Person{Name: "ann", Logout: string(l)}, nil
}

// The pages link to the logout of the program's own, and not to one of a session that there is
// not.
func TestThePagesLinkToTheProgramsOwnLogout(t *testing.T) {
	for logout, want := range map[string]string{
		"/logout?x=1&y=2": `href="/logout?x=1&amp;y=2">Log out</a>`, "https://sso.example.com/end": `href="https://sso.example.com/end">Log out</a>`, "": "",
	} {
		s := newSite(t, func(c *admin.Config, _ *queue.Config) {
			c.Access = admin.FirstOf(withLogout(logout), admin.Tokens("secret", ""))
		})
		body := s.get("/admin/audit").Body.String()
		if !strings.Contains(body, want) || strings.Contains(body, `action="/admin/logout"`) != (want == "") {
			t.Errorf("%q: %s", logout, body)
		}
	}
	s := newSite(t, func(c *admin.Config, _ *queue.Config) { c.Access = withLogout("javascript:alert(1)") })
	if body := s.get("/admin/audit").Body.String(); strings.Contains(body, "javascript:") {
		t.Error(body)
	}
}
