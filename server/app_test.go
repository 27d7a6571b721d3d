package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// lockedLog is a log that may be read while it is written.
type lockedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A task that is only declared is warned about once, whether this process takes it
// from the database or receives it.
func TestDeclaredTasksAreWarnedAboutOnce(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{config.ModeLocal, config.ModePull} {
		log := &lockedLog{}
		cfg := appConfig(t, queue.NewTask("greet", echoTask), queue.Declare[string, string]("later"))
		cfg.Logger, cfg.Migrate, cfg.Settings.TasksMode = slog.New(slog.NewTextHandler(log, nil)), true, mode
		app := openApp(t, cfg)
		if mode == config.ModeLocal {
			go func() { _ = app.Run(t.Context()) }()
			handle, err := app.Client().Enqueue(t.Context(), "greet", "world")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := app.Client().Wait(t.Context(), handle.ID); err != nil { // then Run has begun
				t.Error(err)
			}
		}
		if warnings := strings.Count(log.String(), "tasks=later"); warnings != 1 {
			t.Errorf("%s: %d warnings:\n%s", mode, warnings, log)
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
