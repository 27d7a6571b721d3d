package server

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

// Open does not know where its handlers listen: they are open to this machine only,
// however a request names its host.
func TestOpenAdmitsOnlyThisMachine(t *testing.T) {
	t.Parallel()
	app := openApp(t, appConfig(t, testTasks...))
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(app.Handler())
	server.Listener = listener
	server.Start()
	defer server.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	for host, want := range map[string]int{"127.0.0.1": http.StatusOK, networkAddress(t): http.StatusForbidden} {
		for _, path := range []string{"/tasks/status/", "/admin/"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+net.JoinHostPort(host, port)+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = "localhost:8080"
			response, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if response.StatusCode != want {
				t.Errorf("%s over %s: %d, want %d: %s", path, host, response.StatusCode, want, body)
			}
		}
	}
}

// A reverse proxy on this machine connects over loopback for clients of anywhere.
func TestOpenRefusesWhatAProxyForwarded(t *testing.T) {
	t.Parallel()
	app := openApp(t, appConfig(t, testTasks...))
	for _, header := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Real-Ip", "Forwarded", ""} {
		for _, path := range []string{"/tasks/status/", "/admin/"} {
			r := overLoopback(httptest.NewRequest(http.MethodGet, "http://localhost:8080"+path, nil))
			want, text := http.StatusOK, ""
			if header != "" {
				r.Header.Set(header, "127.0.0.1")
				want, text = http.StatusForbidden, "a proxy forwarded this request"
			}
			w := httptest.NewRecorder()
			if app.Handler().ServeHTTP(w, r); w.Code != want || !strings.Contains(w.Body.String(), text) {
				t.Errorf("%s with %q: %d %s", path, header, w.Code, w.Body)
			}
		}
	}
}

// networkAddress is an address of this machine that others may reach.
func networkAddress(t *testing.T) string {
	t.Helper()
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

// allowHeader is an Authenticator that goes by one header.
type allowHeader string

func (name allowHeader) Authenticate(r *http.Request) error {
	if r.Header.Get(string(name)) == "" {
		return errors.New("who are you")
	}
	return nil
}

func TestOwnAccessAndOwnRoutes(t *testing.T) {
	t.Parallel()
	cfg := appConfig(t, testTasks...)
	cfg.Settings.TaskHandlerPath = "/deliver/{task_id}/run"
	cfg.TasksAuth, cfg.AdminAccess = allowHeader("X-Staff"), admin.Open("staff")
	cfg.Handler = func(app *App) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "own "+r.URL.Path)
			if _, err := app.Client().Stats(r.Context(), queue.Filter{}); err != nil {
				t.Error(err)
			}
		})
	}
	app := openApp(t, cfg)
	handle, err := app.Client().Enqueue(t.Context(), "demo.echo", "x")
	if err != nil {
		t.Fatal(err)
	}
	delivery := "/deliver/" + handle.ID.String() + "/run"
	for _, c := range []struct {
		method, path string
		staff        bool
		status       int
		body         string
	}{
		{"GET", "/", false, 200, "own /"}, {"GET", "/sign-up", false, 200, "own /sign-up"}, {"GET", "/deliver/", false, 200, "own /deliver/"},
		{"GET", "/taskship", false, 200, "own /taskship"}, {"GET", "/administration", false, 200, "own /administration"},
		{"GET", "/tasks/status/", false, 401, "who are you"}, {"GET", "/tasks/status", true, 200, "pending_count"},
		{"GET", "/tasks", false, 401, "who are you"}, {"GET", "/tasks/unknown/", true, 404, "no such endpoint"},
		{"POST", delivery, false, 401, "who are you"}, {"POST", delivery, true, 200, `"executed":true`},
		{"GET", "/admin/", false, 200, "claimcheck"}, {"GET", "/health/live", false, 200, ""}, {"GET", "/health/ready", false, 200, ""},
		{"GET", "/health/unknown", true, 404, "no such endpoint"}, {"GET", "/metrics", true, 404, "no such endpoint"},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		if c.staff {
			r.Header.Set("X-Staff", "1")
		}
		w := httptest.NewRecorder()
		if app.Handler().ServeHTTP(w, r); w.Code != c.status || !strings.Contains(w.Body.String(), c.body) {
			t.Errorf("%s %s, staff: %t: %d %.200s", c.method, c.path, c.staff, w.Code, w.Body)
		}
	}
}

// A program chooses where its pages are, and what is at /admin/ is its own.
func TestOwnAdminPrefix(t *testing.T) {
	t.Parallel()
	cfg := appConfig(t, testTasks...)
	cfg.AdminPrefix, cfg.AdminAccess = "/ops/deep/tasks", admin.Open("staff")
	cfg.Settings.AdminBrand, cfg.Settings.AdminProxyPrefix = "Shop", "/proxied"
	cfg.Handler = func(*App) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "own "+r.URL.Path) })
	}
	app := openApp(t, cfg)
	for path, want := range map[string]string{
		"/ops/deep/tasks/": `href="/proxied/ops/deep/tasks/queues"`, "/ops/deep/tasks/tasks": "<title>Tasks · Shop</title>", "/admin/": "own /admin/", "/ops/deep/tasksx": "own /ops/deep/tasksx",
	} {
		w := httptest.NewRecorder()
		if app.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil)); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d, no %s\n%.500s", path, w.Code, want, w.Body)
		}
	}
	for _, prefix := range []string{"/", "/tasks/ops", "/health", "ops", "/a/../b"} {
		cfg := appConfig(t, testTasks...)
		cfg.AdminPrefix = prefix
		if _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "Config.AdminPrefix must") {
			t.Errorf("%q: %v", prefix, err)
		}
	}
}
