package admin_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

// deep is where the pages are in the browser's address.
const deep = "/ops/deep/tasks"

// mount is a way to embed the pages behind a proxy.
type mount struct {
	strips  string // what the proxy removes
	header  string // what it says that it has removed; empty: it says nothing
	config  func(*admin.Config)
	handler func(http.Handler) http.Handler // the program's mux
}

// below mounts a handler under a path of a mux.
func below(path string) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle(path, h)
		return mux
	}
}

var mounts = map[string]mount{
	"no proxy":                     {"", "", func(c *admin.Config) { c.Prefix = deep }, below(deep + "/")},
	"StripPrefix":                  {"", "", func(c *admin.Config) { c.Prefix = deep + "/" }, func(h http.Handler) http.Handler { return below(deep + "/")(http.StripPrefix(deep, h)) }},
	"half stripped":                {"", "", func(c *admin.Config) { c.Prefix = deep }, func(h http.Handler) http.Handler { return http.StripPrefix("/ops/deep", below("/tasks/")(h)) }},
	"a proxy strips the beginning": {"/ops/deep", "", func(c *admin.Config) { c.ProxyPrefix, c.Prefix = "/ops/deep", "/tasks" }, below("/tasks/")},
	"a proxy and StripPrefix":      {"/ops/deep", "", func(c *admin.Config) { c.ProxyPrefix, c.Prefix = "/ops/deep/", "/tasks" }, func(h http.Handler) http.Handler { return below("/tasks/")(http.StripPrefix("/tasks", h)) }},
	"a proxy strips all":           {deep, "", func(c *admin.Config) { c.ProxyPrefix, c.Prefix = deep, "/" }, below("/")},
	"a proxy says what it strips":  {"/ops/deep", "/ops/deep/", func(c *admin.Config) { c.ForwardedPrefix, c.Prefix = true, "/tasks" }, below("/tasks/")},
	"it says that it strips all":   {deep, deep, func(c *admin.Config) { c.ForwardedPrefix, c.Prefix, c.ProxyPrefix = true, "/", "/unused" }, below("/")},
}

// crawler opens every page that a page leads to, as a browser behind a proxy does.
type crawler struct {
	t       *testing.T
	client  *http.Client
	server  string
	seen    map[string]bool
	perPath map[string]int
	forms   map[string]bool // actions of the forms that change something
	queue   []string
}

func newCrawler(t *testing.T, m mount) *crawler {
	t.Helper()
	s := newNight(t, func(c *admin.Config, _ *queue.Config) {
		m.config(c)
		c.Access = admin.Tokens("right-token-of-admins", "")
	})
	program := httptest.NewServer(m.handler(s.handler))
	t.Cleanup(program.Close)
	to, err := url.Parse(program.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
		r.Out.URL.Path, r.Out.URL.RawPath = strings.TrimPrefix(r.In.URL.Path, m.strips), ""
		if m.header != "" {
			r.Out.Header.Set("X-Forwarded-Prefix", m.header)
		}
	}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != deep && !strings.HasPrefix(r.URL.Path, deep+"/") {
			t.Errorf("a request outside the prefix: %s", r.URL)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &crawler{
		t: t, server: front.URL, seen: make(map[string]bool), perPath: make(map[string]int), forms: make(map[string]bool),
		client: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

// answer checks what an answer sends the browser to and stores in it.
func (c *crawler) answer(r *http.Request) (status int, location string, body *html.Node) {
	c.t.Helper()
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	w, err := c.client.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = w.Body.Close() }()
	for _, cookie := range w.Cookies() {
		if cookie.Path != deep {
			c.t.Errorf("%s: the cookie %s has the path %q", r.URL, cookie.Name, cookie.Path)
		}
	}
	if location = w.Header.Get("Location"); location != "" {
		c.leads(r.URL.String(), location)
	}
	if strings.HasPrefix(w.Header.Get("Content-Type"), "text/html") {
		if body, err = html.Parse(w.Body); err != nil {
			c.t.Fatal(err)
		}
	}
	_, _ = io.Copy(io.Discard, w.Body)
	return w.StatusCode, location, body
}

// leads checks one address of a page.
func (c *crawler) leads(page, address string) bool {
	c.t.Helper()
	if strings.HasPrefix(address, "#") {
		return false
	}
	if address != deep && !strings.HasPrefix(address, deep+"/") {
		c.t.Errorf("%s leads to %q", page, address)
		return false
	}
	return true
}

// read finds the addresses of a page.
func (c *crawler) read(page string, node *html.Node) {
	c.t.Helper()
	attributes := make(map[string]string)
	for _, a := range node.Attr {
		attributes[a.Key] = a.Val
	}
	for _, name := range []string{"href", "src", "hx-get"} {
		if address := attributes[name]; address != "" && c.leads(page, address) {
			c.add(address)
		}
	}
	if node.Data == "form" {
		action := attributes["action"]
		if c.leads(page, action) && attributes["method"] == "post" {
			c.forms[action] = true
		} else {
			c.add(action)
		}
	}
	if node.Data == "input" && attributes["name"] == "back" {
		c.leads(page, attributes["value"])
	}
	for child := range node.ChildNodes() {
		c.read(page, child)
	}
}

// add has an address visited, a few for each path.
func (c *crawler) add(address string) {
	path, _, _ := strings.Cut(address, "?")
	if c.seen[address] || c.perPath[path] >= 4 || len(c.seen) >= 150 {
		return
	}
	c.perPath[path]++
	c.seen[address] = true
	c.queue = append(c.queue, address)
}

func (c *crawler) get(address string) (int, string, *html.Node) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.server+address, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.answer(r)
}

func (c *crawler) post(address string, form url.Values) (int, string, *html.Node) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.server+address, strings.NewReader(form.Encode()))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.answer(r)
}

func TestEveryLinkStaysBelowThePrefix(t *testing.T) {
	for name, m := range mounts {
		t.Run(name, func(t *testing.T) {
			c := newCrawler(t, m)
			status, _, login := c.get(deep + "/")
			if status != http.StatusUnauthorized {
				t.Fatalf("without a session: %d", status)
			}
			c.read(deep+"/", login)
			status, location, _ := c.post(deep+"/login", url.Values{"token": {"right-token-of-admins"}, "back": {deep + "/queues"}})
			if status != http.StatusSeeOther || location != deep+"/queues" {
				t.Fatalf("login: %d to %q", status, location)
			}
			c.add(deep + "/")
			c.add(deep + "/tasks") // the name of a page is that of the last part of the prefix
			for len(c.queue) > 0 {
				address := c.queue[0]
				c.queue = c.queue[1:]
				status, _, page := c.get(address)
				if status != http.StatusOK {
					t.Errorf("%s: %d", address, status)
				}
				if page != nil {
					c.read(address, page)
				}
			}
			for _, page := range []string{"/tasks", "/queues", "/types", "/workers", "/audit", "/schedules", "/groups"} {
				if !c.seen[deep+page] {
					t.Errorf("%s was not reached among %d addresses", page, len(c.seen))
				}
			}
			if len(c.seen) < 60 || len(c.forms) < 5 {
				t.Errorf("only %d addresses and the forms %v", len(c.seen), c.forms)
			}
			status, location, _ = c.post(deep+"/pause", url.Values{"queue": {"default"}, "reason": {"a test"}})
			if status != http.StatusSeeOther || location == "" {
				t.Errorf("pause: %d to %q", status, location)
			}
			if status, _, _ := c.get(location); status != http.StatusOK { // with the notice's cookie
				t.Errorf("after it: %d", status)
			}
			if status, location, _ = c.post(deep+"/logout", nil); status != http.StatusSeeOther || location != deep+"/" {
				t.Errorf("logout: %d to %q", status, location)
			}
			if status, _, _ = c.get(deep + "/"); status != http.StatusUnauthorized {
				t.Errorf("after the logout: %d", status)
			}
		})
	}
}

func TestForwardedPrefixesAreChecked(t *testing.T) {
	for _, trusted := range []bool{false, true} {
		s := newSite(t, func(c *admin.Config, _ *queue.Config) { c.ForwardedPrefix = trusted })
		for sent, good := range map[string]bool{
			"/ops": true, "/ops/": true, "/": true, "": true, "//evil.example": false, "https://evil.example": false, "/a\\b": false, "/a/../b": false, `/"onload=x`: false,
			"/a,/b": false, "/a;b": false, "/a b": false, "/" + strings.Repeat("x", 300): false, "ops": false,
		} {
			w := s.get("/admin/", "X-Forwarded-Prefix", sent)
			body := w.Body.String()
			want := map[bool]int{true: http.StatusOK, false: http.StatusBadRequest}[good || !trusted]
			if w.Code != want || want == http.StatusOK && strings.Contains(body, "evil") {
				t.Errorf("%q, trusted: %t: %d, want %d\n%.200s", sent, trusted, w.Code, want, body)
			}
			if moved := strings.Contains(body, `href="/ops/admin/tasks"`); moved != (trusted && strings.HasPrefix(sent, "/ops")) {
				t.Errorf("%q, trusted: %t: links moved: %t", sent, trusted, moved)
			}
		}
		for i := range 100 { // each is remembered, and not for ever
			if w := s.get("/admin/types", "X-Forwarded-Prefix", "/p"+strings.Repeat("x", i)); w.Code != http.StatusOK {
				t.Fatal(w.Code)
			}
		}
	}
	for _, prefix := range []string{"ops", "//ops", "/a/../b", "/a b", "/a?b", "/a//b", `/a\b`} {
		_, err := admin.New(admin.Config{Client: newSite(t, nil).client, Access: admin.Open("x"), Prefix: prefix, ProxyPrefix: prefix})
		if err == nil || !strings.Contains(err.Error(), "Config.Prefix must") || !strings.Contains(err.Error(), "Config.ProxyPrefix must") {
			t.Errorf("%q: %v", prefix, err)
		}
	}
}
