package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// appConfig is the configuration of a program in a module of its own, with a database of its own.
func appConfig(t *testing.T, tasks ...queue.Definition) Config {
	return Config{
		Name: "shop", Tasks: tasks, IgnoreEnv: true, Logger: slog.New(slog.DiscardHandler),
		Settings: Settings{DatabaseURL: "sqlite:" + filepath.Join(t.TempDir(), "app.db")},
	}
}

// openApp opens an App, and ends it with the test.
func openApp(t *testing.T, cfg Config) *App {
	t.Helper()
	app, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return app
}

// Two programs in one process each run their own tasks, with their own settings, and
// neither touches the other, nor the process.
func TestTwoAppsInOneProcess(t *testing.T) {
	t.Parallel()
	var running sync.WaitGroup
	for _, word := range []string{"one", "two"} {
		greet := queue.NewTask("greet", func(_ context.Context, name string) (string, error) { return word + " " + name, nil })
		cfg := appConfig(t, greet)
		cfg.Settings.Metrics = config.MetricsOn
		cfg.Settings.TaskAPIToken = "secret-of-the-app-" + word
		app := openApp(t, cfg)
		running.Go(func() {
			if err := app.Run(t.Context()); err != nil {
				t.Error(err)
			}
		})
		running.Go(func() {
			for i := range 20 {
				handle, err := greet.Enqueue(t.Context(), app.Client(), fmt.Sprint(i))
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := greet.Wait(t.Context(), app.Client(), handle.ID); err != nil || got != fmt.Sprintf("%s %d", word, i) {
					t.Errorf("%q, %v", got, err)
				}
			}
			for _, other := range []string{"one", "two"} {
				r := httptest.NewRequest(http.MethodGet, "http://localhost/metrics", nil)
				r.Header.Set("Authorization", "Bearer secret-of-the-app-"+other)
				w := httptest.NewRecorder()
				if app.Handler().ServeHTTP(w, r); (w.Code == http.StatusOK) != (word == other) {
					t.Errorf("%s with the token of %s: %d", word, other, w.Code)
				}
			}
			if err := app.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := app.Client().Get(t.Context(), [16]byte{}); !errors.Is(err, queue.ErrClosed) {
				t.Errorf("after Shutdown: %v", err)
			}
		})
	}
	running.Wait()
}

// Run blocks until Shutdown, which lets running tasks end; Run returns nil, begins
// once at a time, and no more after Shutdown.
func TestShutdownDrainsAndEndsRun(t *testing.T) {
	t.Parallel()
	began, finish := make(chan struct{}), make(chan struct{})
	slow := queue.NewTask("slow", func(context.Context, any) (any, error) { close(began); <-finish; return "done", nil })
	cfg := appConfig(t, slow)
	closed := make(chan string, 2)
	cfg.Setup = func(_ context.Context, app *App) ([]queue.Definition, error) {
		app.OnClose(func() error { closed <- "first opened"; return nil })
		app.OnClose(func() error { closed <- "last opened"; return errors.New("it was broken") })
		return nil, nil
	}
	app, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ran, shut := make(chan error), make(chan error)
	go func() { ran <- app.Run(t.Context()) }()
	if _, err := slow.Enqueue(t.Context(), app.Client(), nil); err != nil {
		t.Fatal(err)
	}
	<-began
	if err := app.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "running already") {
		t.Errorf("a second Run: %v", err)
	}
	go func() { shut <- app.Shutdown(t.Context()) }()
	if err := <-ran; err != nil {
		t.Errorf("Run: %v", err)
	}
	select {
	case err := <-shut:
		t.Errorf("Shutdown did not wait for the task: %v", err)
	case <-closed:
		t.Error("OnClose was called while the task ran")
	default:
	}
	close(finish)
	if err := <-shut; err == nil || !strings.Contains(err.Error(), "it was broken") {
		t.Errorf("Shutdown: %v", err)
	}
	if order := []string{<-closed, <-closed}; !slices.Equal(order, []string{"last opened", "first opened"}) {
		t.Errorf("closed in the order %q", order)
	}
	if err := app.Run(t.Context()); err != nil {
		t.Errorf("Run after Shutdown: %v", err)
	}
}

// A task that does not end in time loses its context, and its attempt is released for
// another process; its heartbeats did not depend on Run, which was never called.
func TestShutdownReleasesWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	began := make(chan struct{}, 1)
	stuck := queue.NewTask("stuck", func(ctx context.Context, _ any) (any, error) {
		began <- struct{}{}
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	cfg := appConfig(t, stuck)
	cfg.Settings.TaskAPIToken = "0123456789abcdef0123456789abcdef"
	app, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	handle, err := stuck.Enqueue(t.Context(), app.Client(), nil)
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan *httptest.ResponseRecorder)
	go func() {
		r := httptest.NewRequest(http.MethodPost, "/tasks/execute/"+handle.ID.String()+"/", nil)
		r.Header.Set("Authorization", "Bearer "+cfg.Settings.TaskAPIToken)
		w := httptest.NewRecorder()
		app.TasksHandler().ServeHTTP(w, r)
		answered <- w
	}()
	<-began
	ending, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	shut := make(chan error)
	go func() { shut <- app.Shutdown(ending) }()
	if w := <-answered; w.Code != http.StatusInternalServerError {
		t.Errorf("the delivery was answered %d %s", w.Code, w.Body)
	}
	if err := <-shut; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	again := openApp(t, cfg)
	row, err := again.Client().Get(t.Context(), handle.ID)
	if err != nil || row.Status != queue.StatusReady || row.Attempts != 0 {
		t.Errorf("%+v, %v", row, err)
	}
}

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

// The schema is the operator's on a server of its own, unless the program says so.
func TestOpenChecksTheSchema(t *testing.T) {
	t.Parallel()
	cfg := appConfig(t, testTasks...)
	cfg.Settings.DatabaseURL, cfg.Settings.TasksMode = testdb.Postgres(t), config.ModePull
	if _, err := Open(t.Context(), cfg); !errors.Is(err, queue.ErrSchema) || !strings.Contains(err.Error(), "Config.Migrate") {
		t.Errorf("an empty database: %v", err)
	}
	cfg.Migrate = true
	app := openApp(t, cfg)
	if _, err := app.Client().Enqueue(t.Context(), "demo.echo", nil); err != nil {
		t.Error(err)
	}
	var log bytes.Buffer
	run := &program{own: cfg, stdin: strings.NewReader(""), stdout: &log, stderr: &log}
	run.own.Settings.DatabaseURL = testdb.Postgres(t)
	if status := realMain(t.Context(), []string{"status"}, nil, run); status != 1 || !strings.Contains(log.String(), "(run: shop migrate)") {
		t.Errorf("status %d: %s", status, log.String())
	}
}
