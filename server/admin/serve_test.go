package admin_test

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

// everyPage are addresses of all pages that need no task.
var everyPage = []string{
	"/admin/", "/admin/tasks", "/admin/queues", "/admin/types", "/admin/types/billing.charge_card", "/admin/workers", "/admin/audit",
}

func TestPagesAreStrict(t *testing.T) {
	s := newSite(t, nil)
	for _, path := range append(everyPage, "/admin/nowhere", "/admin/tasks/7", "/admin/types/no.such") {
		w := s.get(path)
		for name, want := range map[string]string{
			"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store",
			"Content-Type": "text/html; charset=utf-8",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		policy := w.Header().Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", path, policy)
		}
		body := w.Body.String()
		for _, inline := range []string{"style=", "<style", "javascript:", " onclick", "<script>"} {
			if strings.Contains(body, inline) {
				t.Errorf("%s contains %q", path, inline)
			}
		}
		if strings.Contains(body, `src="http`) || strings.Contains(body, `href="http`) {
			t.Errorf("%s loads from elsewhere", path)
		}
	}
}

func TestPagesRequireAnOperator(t *testing.T) {
	client, err := queue.NewClient(queue.Config{Store: struct{ queue.Store }{newSite(t, nil).store}, Registry: queue.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = admin.New(admin.Config{Client: client, Access: admin.Open("ann")})
	if !errors.Is(err, queue.ErrUnsupported) || !strings.Contains(err.Error(), "queue.Operator") {
		t.Errorf("New: %v", err)
	}
}

func TestPathsAndMethods(t *testing.T) {
	s := newSite(t, nil)
	for request, want := range map[string]int{
		"GET /admin":              301,
		"GET /admin/":             200,
		"HEAD /admin/":            200,
		"GET /":                   200, // mounted with http.StripPrefix
		"GET /tasks":              200,
		"GET /admin/tasks/":       200,
		"GET /admin/queues/":      200,
		"POST /admin/":            405,
		"POST /admin/tasks":       405,
		"DELETE /admin/tasks":     405,
		"GET /admin/act":          405,
		"GET /admin/enqueue":      405,
		"GET /admin/tasks/x/y":    404,
		"GET /admin/nowhere":      404,
		"GET /admin/static/x.css": 404,
		"GET /admin/types/x":      404,
		"GET /admin/login":        404, // open has no login
		"GET /adminx":             404,
	} {
		method, path, _ := strings.Cut(request, " ")
		r, err := http.NewRequest(method, "http://tasks.example"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		if w := s.do(r); w.Code != want {
			t.Errorf("%s: %d, want %d", request, w.Code, want)
		} else if method == "HEAD" && w.Body.Len() > 0 {
			t.Errorf("%s has a body", request)
		}
	}
	if w := s.get("/admin"); w.Header().Get("Location") != "/admin/" {
		t.Errorf("redirect to %q", w.Header().Get("Location"))
	}
}

func TestAnyPrefix(t *testing.T) {
	for prefix, link := range map[string]string{"/ops/jobs/": `href="/ops/jobs/tasks"`, "/": `href="/tasks"`} {
		s := newSite(t, func(c *admin.Config, _ *queue.Config) { c.Prefix = prefix })
		if w := s.get(prefix); w.Code != 200 || !strings.Contains(w.Body.String(), link) {
			t.Errorf("%s: %d, no %s", prefix, w.Code, link)
		}
	}
	if _, err := admin.New(admin.Config{Access: admin.Open("x")}); err == nil {
		t.Error("made without a client")
	}
}

func TestAssetsAreKeptByBrowsersAndPacked(t *testing.T) {
	s := newSite(t, nil)
	page := s.get("/admin/", "Accept-Encoding", "br, gzip;q=0.8")
	if page.Header().Get("Content-Encoding") != "gzip" {
		t.Error("the page is not packed")
	}
	if s.get("/admin/", "Accept-Encoding", "gzip;q=0").Header().Get("Content-Encoding") != "" {
		t.Error("packed for a browser that refuses it")
	}
	total := page.Body.Len()
	found := regexp.MustCompile(`/admin/static/[^"]+`).FindAllString(s.get("/admin/").Body.String(), -1)
	if len(found) != 4 {
		t.Fatalf("assets: %v", found)
	}
	for _, path := range found {
		w := s.get(path, "Accept-Encoding", "gzip")
		if w.Code != 200 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || w.Header().Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		if plain := s.get(path); plain.Header().Get("Content-Encoding") != "" || plain.Body.Len() <= w.Body.Len() && !strings.HasSuffix(path, ".svg") {
			t.Errorf("%s: plain %d bytes, packed %d", path, plain.Body.Len(), w.Body.Len())
		}
		total += w.Body.Len()
	}
	if t.Logf("first visit: %d bytes", total); total > 60_000 {
		t.Errorf("the first visit takes %d bytes", total)
	}
}

func TestOtherSitesCannotAct(t *testing.T) {
	s := newSite(t, nil)
	id := s.enqueue("search.reindex", `{}`)
	form := url.Values{"do": {"cancel"}, "pick": {id.String()}}
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "", "Origin", "https://evil.example"}, {"Sec-Fetch-Site", "", "Origin", "null"},
	} {
		for _, path := range []string{"/admin/act", "/admin/enqueue"} {
			if w := s.post(path, form, header...); w.Code != http.StatusForbidden {
				t.Errorf("%s with %v: %d", path, header, w.Code)
			}
		}
	}
	if row := s.row(id); row.Status != queue.StatusReady {
		t.Errorf("the task is %s", row.Status)
	}
}

// looker may see everything and change nothing.
type looker struct{}

func (looker) Identify(*http.Request) (admin.Person, error) {
	return admin.Person{Name: "guest", ReadOnly: true}, nil
}

func TestReadOnlyPersonsHaveNoButtons(t *testing.T) {
	s := newNight(t, func(c *admin.Config, _ *queue.Config) { c.Access = looker{} })
	failed := s.someRow(queue.Selection{View: queue.ViewFailed})
	for _, path := range append(everyPage, "/admin/tasks?view=failed", "/admin/tasks/"+failed.ID.String()) {
		w := s.get(path)
		body := strings.Replace(w.Body.String(), `method="post" action="/admin/language"`, "", 1) // which is for all
		if w.Code != 200 || strings.Contains(body, "/admin/act") || strings.Contains(body, "/admin/confirm?") ||
			strings.Contains(body, `name="pick"`) || strings.Contains(body, `method="post"`) {
			t.Errorf("%s: %d, with something that changes things", path, w.Code)
		}
	}
	for _, path := range []string{"/admin/act", "/admin/enqueue"} {
		if w := s.post(path, url.Values{"do": {"retry"}, "pick": {failed.ID.String()}}); w.Code != http.StatusForbidden {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := s.get("/admin/confirm?do=retry&pick=" + failed.ID.String()); w.Code != http.StatusForbidden {
		t.Errorf("confirm: %d", w.Code)
	}
	if row := s.row(failed.ID); row.Status != queue.StatusFailed {
		t.Errorf("the task is %s", row.Status)
	}
}

func TestLogin(t *testing.T) {
	s := newSite(t, func(c *admin.Config, _ *queue.Config) { c.Access = admin.Tokens("right-token-of-admins", "") })
	for _, path := range everyPage {
		if w := s.get(path); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), `type="password"`) || strings.Contains(w.Body.String(), "Overview") {
			t.Errorf("%s without a session: %d", path, w.Code)
		}
	}
	if w := s.post("/admin/act", url.Values{"do": {"retry"}}); w.Code != http.StatusUnauthorized {
		t.Errorf("act without a session: %d", w.Code)
	}
	if w := s.post("/admin/login", url.Values{"token": {"wrong"}}); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "This token is wrong.") || len(w.Result().Cookies()) > 0 {
		t.Errorf("wrong token: %d", w.Code)
	}
	if w := s.post("/admin/login", url.Values{"token": {"right-token-of-admins"}}, "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden {
		t.Errorf("login from elsewhere: %d", w.Code)
	}
	w := s.post("/admin/login", url.Values{"token": {"right-token-of-admins"}, "back": {"/admin/tasks?view=failed"}})
	if w.Header().Get("Location") != "/admin/tasks?view=failed" {
		t.Fatalf("after login to %q", w.Header().Get("Location"))
	}
	if page := s.follow(w); page.Code != 200 || !strings.Contains(page.Body.String(), "Log out") {
		t.Errorf("after login: %d", page.Code)
	}
	if out := s.post("/admin/logout", nil); out.Code != http.StatusSeeOther {
		t.Errorf("logout: %d", out.Code)
	}
}

func TestFormsLeadOnlyToThesePages(t *testing.T) {
	s := newSite(t, nil)
	id := s.enqueue("search.reindex", `{}`).String()
	for _, back := range []string{"https://evil.example/", "//evil.example/admin/", "/admin", "/other/", `/admin/\evil`, "javascript:alert(1)", "/admin/%0d%0aX:y", "///admin/", "http:/admin/",
		"/admin/../../x", "/admin/../admin/../x", "/admin/..", "/admin/./x", "/admin/%2e%2e/x", "/admin/%2E%2e/%2e%2e/x", "/admin/..%2fx", "/admin/tasks/../../../x",
		"/admin//evil.example", "/admin/%5c%5cevil.example", "/admin/%2fevil.example", "/admin/..;/x/..", "/admin/x/..?a=b", "/admin/../#x", "/..//evil.example/admin/"} {
		w := s.post("/admin/act", url.Values{"do": {"run"}, "pick": {id}, "back": {back}})
		if got := w.Header().Get("Location"); got != "/admin/" && back != "/admin/%0d%0aX:y" || strings.ContainsAny(got, "\r\n") {
			t.Errorf("%q leads to %q", back, got)
		}
	}
}

func TestFailuresAreExplained(t *testing.T) {
	s := newSite(t, func(c *admin.Config, _ *queue.Config) {
		c.Remedies = admin.Remedies{Schema: "Run: my-program migrate", Connections: "MY_POOL allows more."}
	})
	for err, want := range map[error]struct {
		status int
		says   string
	}{
		queue.ErrUnavailable:           {503, "The database is unavailable"},
		queue.ErrNoAnswer:              {503, "The database did not answer in time"},
		queue.ErrSchema:                {503, "Tables are missing or outdated. Run: my-program migrate</p>"},
		queue.ErrPoolExhausted:         {503, "Retry in a moment. MY_POOL allows more.</p>"},
		errors.New("secret: dsn=p4ss"): {500, "The log of this program has the cause."},
	} {
		s.store.fail(err)
		w := s.get("/admin/")
		if body := w.Body.String(); w.Code != want.status || !strings.Contains(body, want.says) || strings.Contains(body, "p4ss") {
			t.Errorf("%v: %d %s", err, w.Code, body)
		}
	}
	s.store.fail(nil)
	if w := s.get("/admin/"); w.Code != 200 || !strings.Contains(w.Body.String(), "No problems") {
		t.Errorf("after the outage: %d", w.Code)
	}
}
