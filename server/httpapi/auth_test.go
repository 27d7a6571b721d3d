package httpapi_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// refusal is an Authenticator that refuses with a status.
type refusal int

func (r refusal) Error() string                    { return http.StatusText(int(r)) }
func (r refusal) HTTPStatus() int                  { return int(r) }
func (r refusal) Authenticate(*http.Request) error { return r }

type uncoded struct{}

func (uncoded) Authenticate(*http.Request) error { return errors.New("no") }

func TestStrangersAreRefusedOnEveryRouteAndNothingIsDone(t *testing.T) {
	a := newAPI(t, nil)
	id := a.enqueue(`{"task":"t.echo"}`)
	closed := newAPI(t, func(c *httpapi.Config, q *queue.Config) {
		c.Auth, q.Store = httpapi.BearerToken("s3cret"), a.store
	})
	spoofed := []string{"X-CloudTasks-QueueName", "default", "X-AppEngine-QueueName", "default", "X-AppEngine-Cron", "true"}
	for _, route := range []string{
		"POST /tasks/enqueue/", "POST /tasks/enqueue", "POST /tasks/execute/" + id + "/", "POST /tasks/execute/" + id + "/?allow_retry=true",
		"GET /tasks/result/" + id + "/", "GET /tasks/execute/" + id, "DELETE /tasks/result/" + id, "GET /tasks/unknown/", "GET /",
	} {
		method, path, _ := strings.Cut(route, " ")
		for name, header := range map[string][]string{
			"no credentials": nil, "spoofed headers": spoofed,
			"wrong token": {"Authorization", "Bearer s3cret2"}, "empty token": {"Authorization", "Bearer "}, "basic": {"Authorization", "Basic s3cret"},
			"two headers": {"Authorization", "Bearer s3cret", "Authorization", "Bearer s3cret"},
		} {
			answer := closed.do(method, path, `{"task":"t.echo"}`, header...)
			if answer.status != 401 || answer.header.Get("WWW-Authenticate") == "" || strings.Contains(answer.text, "s3cret") {
				t.Errorf("%s with %s: %d %s", route, name, answer.status, answer.text)
			}
		}
	}
	if a.attempts(id) != 0.0 {
		t.Error("a stranger ran the task")
	}
	if answer := closed.do("POST", "/tasks/execute/"+id+"/", "", "Authorization", "bearer s3cret"); answer.status != 200 {
		t.Errorf("with the token: %d %s", answer.status, answer.text)
	}
}

func TestAnyOfShowsTheRefusalThatSaysMost(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	for _, c := range []struct {
		of   []httpapi.Authenticator
		want int
	}{
		{nil, 401},
		{[]httpapi.Authenticator{uncoded{}}, 401},
		{[]httpapi.Authenticator{refusal(401), refusal(403)}, 403},
		{[]httpapi.Authenticator{refusal(403), refusal(503), refusal(401)}, 503},
		{[]httpapi.Authenticator{refusal(503), allowAll{}}, 200},
	} {
		a := newAPI(t, func(cfg *httpapi.Config, _ *queue.Config) { cfg.Auth = httpapi.AnyOf(c.of...) })
		want := c.want
		if want == 200 {
			want = 404 // let in, and nothing there
		}
		if answer := a.do("GET", r.URL.Path, ""); answer.status != want {
			t.Errorf("%v: %d, want %d", c.of, answer.status, want)
		} else if want == 503 && answer.header.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
	}
}

func TestLoopbackIsOpenToProgramsButNotToWebPages(t *testing.T) {
	for _, c := range []struct {
		name, host string
		header     map[string]string
		ok         bool
	}{
		{"curl", "localhost:8080", nil, true},
		{"curl by address", "127.0.0.1:8080", nil, true},
		{"curl by IPv6", "[::1]:8080", nil, true},
		{"curl without port", "[::1]", nil, true},
		{"another loopback address", "127.8.9.1", nil, true},
		{"subdomain of localhost", "api.localhost:8080", nil, true},
		{"a page of the server itself", "localhost:8080", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:8080"}, true},
		{"typed into the browser", "localhost:8080", map[string]string{"Sec-Fetch-Site": "none"}, true},
		{"cross-site", "localhost:8080", map[string]string{"Sec-Fetch-Site": "cross-site"}, false},
		{"cross-site form", "localhost:8080", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example", "Content-Type": "text/plain"}, false},
		{"old browser, foreign origin", "localhost:8080", map[string]string{"Origin": "https://evil.example"}, false},
		{"old browser, opaque origin", "localhost:8080", map[string]string{"Origin": "null"}, false},
		{"old browser, own origin", "localhost:8080", map[string]string{"Origin": "http://localhost:8080"}, true},
		{"old browser, another port", "localhost:8080", map[string]string{"Origin": "http://localhost:3000"}, false},
		{"old browser, another name of this machine", "localhost:8080", map[string]string{"Origin": "http://127.0.0.1:8080"}, false},
		{"another port of this machine", "localhost:8080", map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"}, false},
		{"a subdomain", "localhost:8080", map[string]string{"Sec-Fetch-Site": "same-site"}, false},
		{"a word that is not known", "localhost:8080", map[string]string{"Sec-Fetch-Site": "nearby"}, false},
		{"an empty word", "localhost:8080", map[string]string{"Sec-Fetch-Site": ""}, false},
		{"DNS rebinding", "evil.example:8080", nil, false},
		{"rebinding that looks local", "localhost.evil.example", nil, false},
		{"a port that is none", "localhost:8080.evil.example", nil, false},
		{"an empty port", "localhost:", nil, true},
		{"address of the network", "192.168.1.7:8080", nil, false},
		{"no host", "", nil, false},
	} {
		for _, method := range []string{"GET", "POST"} {
			r := connected(httptest.NewRequest(method, "/tasks/enqueue/", nil), "127.0.0.1:8080", "127.0.0.1:40000")
			r.Host = c.host
			for name, value := range c.header {
				r.Header.Set(name, value)
			}
			if err := httpapi.LoopbackOnly().Authenticate(r); (err == nil) != c.ok {
				t.Errorf("%s %s: %v", method, c.name, err)
			}
		}
	}
}

// A proxy on this machine connects over loopback, and may send Host: localhost.
func TestLoopbackRefusesWhatAProxyForwarded(t *testing.T) {
	for header, ok := range map[string]bool{
		"Forwarded": false, "X-Forwarded-For": false, "X-Forwarded-Host": false, "X-Forwarded-Proto": false,
		"X-Forwarded-Client-Cert": false, "x-forwarded-port": false, "X-Real-IP": false, "X-Forward": true, "Accept": true,
	} {
		for _, value := range []string{"127.0.0.1", ""} {
			r := connected(httptest.NewRequest("POST", "http://localhost:8080/tasks/enqueue/", nil), "127.0.0.1:8080", "127.0.0.1:40000")
			r.Header[header] = []string{value} // not canonical, as middleware may write it
			w := httptest.NewRecorder()
			httpapi.Require(httpapi.LoopbackOnly())(http.NotFoundHandler()).ServeHTTP(w, r)
			text := w.Body.String()
			if refused := w.Code == http.StatusForbidden && strings.Contains(text, "a proxy forwarded this request") && strings.Contains(text, "a credential is required"); refused == ok || ok && w.Code != http.StatusNotFound {
				t.Errorf("%s: %q: %d %s", header, value, w.Code, text)
			}
		}
	}
}

// connected makes r one of a connection between two addresses.
func connected(r *http.Request, local, remote string) *http.Request {
	r.RemoteAddr = remote
	if local == "" {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(local))))
}

func TestLoopbackMeansBothEndsOfTheConnection(t *testing.T) {
	for _, c := range []struct {
		local, remote string
		ok            bool
	}{
		{"127.0.0.1:8080", "127.0.0.1:40000", true},
		{"127.0.0.2:8080", "127.8.9.1:40000", true},
		{"[::1]:8080", "[::1]:40000", true},
		{"[::ffff:127.0.0.1]:8080", "[::ffff:127.0.0.1]:40000", true}, // on a listener of both kinds
		{"10.0.0.7:8080", "127.0.0.1:40000", false},
		{"127.0.0.1:8080", "10.0.0.7:40000", false},
		{"10.0.0.7:8080", "10.0.0.7:40000", false},
		{"[fe80::1%eth0]:8080", "[fe80::2%eth0]:40000", false},
		{"", "127.0.0.1:40000", false}, // not known
		{"127.0.0.1:8080", "", false},
		{"127.0.0.1:8080", "@", false}, // a Unix socket
		{"127.0.0.1:8080", "localhost:40000", false},
	} {
		r := connected(httptest.NewRequest("GET", "http://localhost:8080/tasks/status/", nil), c.local, c.remote)
		if err := httpapi.LoopbackOnly().Authenticate(r); (err == nil) != c.ok {
			t.Errorf("from %q to %q: %v", c.remote, c.local, err)
		}
	}
}

// A server that listens on all addresses of this machine is open only to
// connections over loopback, whatever Host is sent.
func TestLoopbackIsRefusedOnAnotherAddressOfThisMachine(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(httpapi.Require(httpapi.LoopbackOnly())(http.NotFoundHandler()))
	server.Listener = listener
	server.Start()
	defer server.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	for host, want := range map[string]int{"127.0.0.1": http.StatusNotFound, networkAddress(t): http.StatusForbidden} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/tasks/status/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "localhost:8080"
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("over %s: %d, want %d", host, response.StatusCode, want)
		}
	}
}

// networkAddress is an address of this machine that others may reach.
func networkAddress(t *testing.T) string {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok && network.IP.IsGlobalUnicast() {
			return network.IP.String()
		}
	}
	t.Fatal("this machine has loopback addresses only: connect it to a network to run this test")
	return ""
}

func TestAppEngineQueueGoesByTheHeaderThatOnlyThePlatformSets(t *testing.T) {
	r := httptest.NewRequest("POST", "/", nil)
	if httpapi.AppEngineQueue().Authenticate(r) == nil {
		t.Error("accepted without it")
	}
	r.Header.Set("X-AppEngine-QueueName", "default")
	if err := httpapi.AppEngineQueue().Authenticate(r); err != nil {
		t.Error(err)
	}
}

func TestBearerTokenNeedsASecret(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an empty secret was accepted")
		}
	}()
	httpapi.BearerToken("")
}

func TestRequireGuardsRoutesOfOnesOwn(t *testing.T) {
	own := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for _, c := range []struct {
		auth   httpapi.Authenticator
		status int
		header string
	}{
		{allowAll{}, http.StatusTeapot, ""},
		{refusal(401), 401, "WWW-Authenticate"},
		{refusal(403), 403, ""},
		{refusal(503), 503, "Retry-After"},
	} {
		w := httptest.NewRecorder()
		httpapi.Require(c.auth)(own).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if w.Code != c.status || c.header != "" && w.Header().Get(c.header) == "" {
			t.Errorf("%v: %d %v", c.auth, w.Code, w.Header())
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("middleware without an authenticator lets everybody in")
		}
	}()
	httpapi.Require(nil)
}
