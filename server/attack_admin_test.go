package server

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// adminRequests are what the pages can be asked for, and asked to do.
func (f *fortress) adminRequests() []endpoint {
	id := f.rows["waiting"].ID.String()
	return []endpoint{
		{"GET", "/admin", ""}, {"GET", "/admin/", ""}, {"GET", "/admin/tasks", ""}, {"GET", "/admin/tasks/" + id, ""}, {"GET", "/admin/queues", ""},
		{"GET", "/admin/types", ""}, {"GET", "/admin/types/demo.echo", ""}, {"GET", "/admin/workers", ""}, {"GET", "/admin/audit", ""},
		{"GET", "/admin/confirm?all=cancel", ""}, {"GET", "/admin/unknown", ""},
		{"POST", "/admin/act", "do=cancel&pick=" + id}, {"POST", "/admin/pause", "queue=default"}, {"POST", "/admin/limit", "kind=queue&name=default&running=1"}, {"POST", "/admin/act", "all=cancel"}, {"POST", "/admin/enqueue", "task=demo.echo&args=1"},
	}
}

// ask sends one request to the pages.
func (f *fortress) ask(e endpoint, host string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(e.method, "http://"+host+e.path, strings.NewReader(e.body))
	if e.method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, values := range header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, overLoopback(r))
	return w
}

// refusesAll wants one status for whatever is asked, and nothing said or done.
func (f *fortress) refusesAll(what string, status int, requests []endpoint, host string, header http.Header) {
	f.t.Helper()
	for _, e := range requests {
		w := f.ask(e, host, header)
		if body := w.Body.String(); w.Code != status || strings.Contains(body, "hidden arguments") || strings.Contains(body, "hidden result") || strings.Contains(body, "READY") {
			f.t.Errorf("%s, %s: %d, want %d\n%s", e, what, w.Code, status, body)
		}
	}
	f.untouched()
}

const attackAdminToken = "admin-0123456789abcdef"

func TestStrangersSeeNothingOfTheAdmin(t *testing.T) {
	guarded := newFortress(t, "--tasks-mode=pull", "--task-api-token="+attackToken, "--admin-token="+attackAdminToken,
		"--iap-audience=/projects/1/apps/x")
	for what, header := range map[string]http.Header{
		"no credentials":            nil,
		"the programs' token":       {"Authorization": {"Bearer " + attackToken}},
		"the token as a header":     {"Authorization": {"Bearer " + attackAdminToken}},
		"a made-up session":         {"Cookie": {"claimcheck_admin=admin.9999999999.AAAA"}},
		"a proxy's unsigned word":   {"X-Goog-Authenticated-User-Email": {"accounts.google.com:a@example.com"}, "X-Appengine-User-Is-Admin": {"1"}},
		"a proxy's token, unsigned": {"X-Goog-Iap-Jwt-Assertion": {"eyJhbGciOiJub25lIiwia2lkIjoieCJ9.e30."}},
		"a proxy's token, null":     {"X-Goog-Iap-Jwt-Assertion": {"bnVsbA.bnVsbA.AAAA"}},
		"App Engine's cron":         {"X-Appengine-Cron": {"true"}},
	} {
		guarded.refusesAll(what, http.StatusUnauthorized, guarded.adminRequests(), "localhost", header)
	}

	closed := newFortress(t, "--tasks-mode=pull", "--task-api-token="+attackToken)
	closed.refusesAll("closed", http.StatusForbidden, closed.adminRequests(), "localhost", nil)
	if w := closed.ask(endpoint{"GET", "/admin/", ""}, "localhost", nil); !strings.Contains(w.Body.String(), "ADMIN_TOKEN") {
		t.Errorf("it does not say what to do: %s", w.Body)
	}
	// A token for /tasks/* on a shared machine protects the pages too.
	shared := newFortress(t, "--tasks-mode=local", "--task-api-token="+attackToken)
	shared.refusesAll("local, but not open", http.StatusForbidden, shared.adminRequests(), "localhost", nil)
}

func TestOtherSitesDoNothingToTheAdmin(t *testing.T) {
	f := newFortress(t, "--tasks-mode=local")
	var gets, posts []endpoint
	for _, e := range f.adminRequests() {
		if e.method == http.MethodGet {
			gets = append(gets, e)
		} else {
			posts = append(posts, e)
		}
	}
	for _, host := range []string{"evil.example", "localhost.evil.example", "10.0.0.5:8080", "127.0.0.1.evil.example"} {
		f.refusesAll("rebound name "+host, http.StatusForbidden, gets, host, http.Header{"Sec-Fetch-Site": {"same-origin"}})
		f.refusesAll("rebound name "+host, http.StatusForbidden, posts, host, http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"http://" + host}})
	}
	f.refusesAll("image", http.StatusForbidden, gets, "localhost", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"no-cors"}, "Sec-Fetch-Dest": {"image"}})
	f.refusesAll("frame", http.StatusForbidden, gets, "localhost", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"iframe"}})
	for what, header := range map[string]http.Header{
		"form":              {"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Origin": {"https://evil.example"}},
		"old browser":       {"Origin": {"https://evil.example"}},
		"sandboxed frame":   {"Origin": {"null"}},
		"sibling of a site": {"Sec-Fetch-Site": {"same-site"}, "Origin": {"http://evil.localhost"}},
	} {
		f.refusesAll(what, http.StatusForbidden, posts, "localhost", header)
	}
	// A link from elsewhere opens a page, as from a chat.
	link := http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}
	if w := f.ask(endpoint{"GET", "/admin/tasks/" + f.rows["waiting"].ID.String(), ""}, "localhost:8080", link); w.Code != http.StatusOK {
		t.Errorf("a link: %d", w.Code)
	}
}

func TestAdminSessions(t *testing.T) {
	f := newFortress(t, "--tasks-mode=pull", "--task-api-token="+attackToken, "--admin-token="+attackAdminToken, "--admin-readonly-token=guest-0123456789abcdef")
	session := func(token string) http.Header {
		w := f.ask(endpoint{"POST", "/admin/login", url.Values{"token": {token}}.Encode()}, "admin.example", nil)
		if len(w.Result().Cookies()) != 1 {
			t.Fatalf("%d, %d cookies", w.Code, len(w.Result().Cookies()))
		}
		cookie := w.Result().Cookies()[0]
		return http.Header{"Cookie": {cookie.Name + "=" + cookie.Value}}
	}
	guest := session("guest-0123456789abcdef")
	for _, e := range f.adminRequests() {
		w := f.ask(e, "admin.example", guest)
		if e.method == http.MethodPost && w.Code != http.StatusForbidden || e.path == "/admin/" && w.Code != http.StatusOK {
			t.Errorf("a guest's %s: %d", e, w.Code)
		}
	}
	f.untouched()
	cancel := endpoint{"POST", "/admin/act", url.Values{"do": {"cancel"}, "pick": {f.rows["waiting"].ID.String()}}.Encode()}
	admin := session(attackAdminToken)
	if w := f.ask(cancel, "admin.example", admin); w.Code >= 400 || f.row("waiting").Status != "CANCELLED" {
		t.Errorf("an admin's %s: %d, the row is %s\n%s", cancel, w.Code, f.row("waiting").Status, w.Body)
	}
}
